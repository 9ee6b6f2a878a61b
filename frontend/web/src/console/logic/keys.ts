/** Idempotency keys of one form: the same body keeps its key until it has been answered. */
import { newKey } from "../../common/api";

export class KeyKeeper {
  private body = "";
  private key = "";

  /** The key for this body; a new key when the body differs from the last one. */
  keyFor(body: unknown): string {
    const text = JSON.stringify(body);
    if (this.key === "" || text !== this.body) {
      this.body = text;
      this.key = newKey();
    }
    return this.key;
  }

  /** Ends the current key, so that the next submission gets a new one even with the same body. */
  answered(): void {
    this.key = "";
  }
}
