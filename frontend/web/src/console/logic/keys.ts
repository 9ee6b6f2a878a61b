/** Idempotency keys of one form: the same wish keeps its key until it was answered. */
import { newKey } from "../../common/api";

export class KeyKeeper {
  private body = "";
  private key = "";

  /** The key for this body: a new one when it is another wish than the last. */
  keyFor(body: unknown): string {
    const text = JSON.stringify(body);
    if (this.key === "" || text !== this.body) {
      this.body = text;
      this.key = newKey();
    }
    return this.key;
  }

  /** The wish was answered: the next one is another, even with the same body. */
  answered(): void {
    this.key = "";
  }
}
