/** Runs the submission machine: sends, waits, keeps what must survive a reload. One for the whole page. */
import { newKey, ok, sales } from "../../common/api";
import { NoAnswerError } from "../../common/api/problem";
import { type Cart, keptCart, without } from "../cart/cart";
import { Kept } from "../kept";
import { rememberOrder } from "../orders/own-orders";
import {
  type Attempt,
  mayPlace,
  next,
  type Order,
  type OrderBody,
  parseAttempt,
  pending,
  type Submission,
  type SubmissionEvent,
} from "./submission";

type Send = (attempt: Attempt) => Promise<Order>;

/** The kept attempt: written before the first request leaves. */
export const keptAttempt = new Kept<Attempt | null>("jaego.shop.attempt", parseAttempt);

/** Asks the shop; the same key and body each time. */
const send: Send = async ({ key, body }) => {
  const params = { header: { "Idempotency-Key": key } };
  const order = await ok(sales.POST("/api/v1/orders", { body, params }));
  // A success that holds no order comes from something on the way: the shop itself has not answered.
  if (typeof order?.id !== "string") throw new NoAnswerError("no order in the answer");
  return order;
};

export class Checkout {
  private state: Submission = { name: "idle" };
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly ask: Send = send) {}

  /** Takes up what a page before this one did not see the end of. Call it once. */
  start(): () => void {
    const onOnline = () => this.apply({ type: "due" });
    addEventListener("online", onOnline);
    const kept = keptAttempt.fresh();
    if (kept) this.apply({ type: "resumed", attempt: kept });
    return () => {
      removeEventListener("online", onOnline);
      clearTimeout(this.timer);
    };
  }

  readonly get = (): Submission => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Orders; a second press while the first is on its way does nothing. */
  place(body: OrderBody): void {
    if (!mayPlace(this.state)) return;
    // Another tab may have an order on its way: this one then asks the same question.
    const attempt = keptAttempt.fresh() ?? { key: newKey(), body };
    keptAttempt.set(attempt);
    this.apply({ type: "placed-by-shopper", attempt });
  }

  /** Tries at once instead of when the time has come. */
  hurry(): void {
    this.apply({ type: "due" });
  }

  /** The shopper has read what became of it, or no longer waits for an answer. */
  leave(): void {
    // Another tab's order may be on its way: what is kept for that is not this one's to forget.
    const own = this.state.name === "idle" ? undefined : this.state.attempt.key;
    if (own !== undefined && keptAttempt.fresh()?.key === own) keptAttempt.set(null);
    this.apply({ type: "left" });
  }

  private apply(event: SubmissionEvent): void {
    const before = this.state;
    this.state = next(before, event);
    if (this.state === before) return;
    clearTimeout(this.timer);
    if (this.state.name === "sending") void this.sendNow(this.state.attempt);
    if (this.state.name === "waiting") {
      this.timer = setTimeout(
        () => this.apply({ type: "due" }),
        Math.max(0, this.state.retryAt - Date.now()),
      );
    }
    if (pending(before) && !pending(this.state)) this.settle(this.state);
    for (const listener of this.listeners) listener();
  }

  private async sendNow(attempt: Attempt): Promise<void> {
    const { key } = attempt;
    try {
      this.apply({ type: "answered", key, order: await this.ask(attempt) });
    } catch (error) {
      this.apply({ type: "failed", key, error, now: Date.now(), online: navigator.onLine });
    }
  }

  /** There is an answer: the attempt need not be kept, and what was sold is no longer in the cart. */
  private settle(state: Submission): void {
    if (state.name === "idle") return;
    // Whoever finds it gone (another tab was quicker) leaves the cart alone.
    const isOurs = keptAttempt.fresh()?.key === state.attempt.key;
    if (isOurs) keptAttempt.set(null);
    if (state.name !== "placed") return;
    rememberOrder(state.order);
    if (isOurs) keptCart.set(without(keptCart.fresh(), cartOf(state.attempt.body)));
  }
}

/** The lines of an order as a cart. */
export function cartOf(body: OrderBody): Cart {
  return body.lines.map(({ sku, quantity }) => ({ sku, quantity }));
}

export const checkout = new Checkout();
