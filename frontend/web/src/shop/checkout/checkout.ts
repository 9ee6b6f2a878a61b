/** Runs the submission state machine: sends, waits, and stores what must survive a reload. One instance per page. */
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

/** The stored attempt, written before the first request is sent. */
export const keptAttempt = new Kept<Attempt | null>("jaego.shop.attempt", parseAttempt);

/** Sends the order, with the same key and body on every retry. */
const send: Send = async ({ key, body }) => {
  const params = { header: { "Idempotency-Key": key } };
  const order = await ok(sales.POST("/api/v1/orders", { body, params }));
  // A success without an order comes from a proxy or portal: the shop itself has not answered.
  if (typeof order?.id !== "string") throw new NoAnswerError("no order in the answer");
  return order;
};

export class Checkout {
  private state: Submission = { name: "idle" };
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly ask: Send = send) {}

  /**
   * Resumes an attempt that an earlier page did not finish, and sends a waiting one when the browser is back online.
   * Returns a function that stops this.
   */
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

  /** Places the order. A second press while an order is in flight does nothing. */
  place(body: OrderBody): void {
    if (!mayPlace(this.state)) return;
    // Another tab may have an order in flight: this tab then sends the same attempt.
    const attempt = keptAttempt.fresh() ?? { key: newKey(), body };
    keptAttempt.set(attempt);
    this.apply({ type: "placed-by-shopper", attempt });
  }

  /** Retries at once instead of waiting for the delay. */
  hurry(): void {
    this.apply({ type: "due" });
  }

  /** The shopper has seen the result, or no longer waits for it. */
  leave(): void {
    // The stored attempt may belong to an order in flight in another tab: that one must not be cleared.
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

  /** Clears the stored attempt after an answer, and removes the units of a placed order from the cart. */
  private settle(state: Submission): void {
    if (state.name === "idle") return;
    // If another tab has already cleared the attempt, it has also updated the cart.
    const isOurs = keptAttempt.fresh()?.key === state.attempt.key;
    if (isOurs) keptAttempt.set(null);
    if (state.name !== "placed") return;
    rememberOrder(state.order);
    if (isOurs) keptCart.set(without(keptCart.fresh(), cartOf(state.attempt.body)));
  }
}

export function cartOf(body: OrderBody): Cart {
  return body.lines.map(({ sku, quantity }) => ({ sku, quantity }));
}

export const checkout = new Checkout();
