import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NoAnswerError, ProblemError } from "../../common/api/problem";
import { PATIENCE_MS } from "../../common/test-support";
import { keptCart } from "../cart/cart";
import { keptOrders } from "../orders/own-orders";
import { Checkout, keptAttempt } from "./checkout";
import type { Attempt, Order } from "./submission";

const body = { lines: [{ sku: "A", quantity: 2 }] };
const order = { id: "o1", status: "confirmed", created_at: "2026-01-01T00:00:00Z" } as Order;

/** A shop that returns the given answers in order and records the attempts. */
function shop(...answers: (Order | Error)[]) {
  const asked: Attempt[] = [];
  const send = async (attempt: Attempt) => {
    asked.push(attempt);
    const answer = answers.shift();
    if (answer === undefined || answer instanceof Error) throw answer ?? new NoAnswerError("none left");
    return answer;
  };
  return { asked, checkout: new Checkout(send) };
}

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  keptAttempt.set(null);
  keptOrders.set([]);
  keptCart.set([
    { sku: "A", quantity: 2 },
    { sku: "B", quantity: 1 },
  ]);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("checkout", () => {
  it("sends one request for two presses", async () => {
    const { asked, checkout } = shop(order);
    checkout.place(body);
    checkout.place(body);
    await vi.runAllTimersAsync();
    expect(asked).toHaveLength(1);
    expect(checkout.get()).toMatchObject({ name: "placed", order });
  });

  it("keeps the attempt before it asks, and forgets it with the answer", async () => {
    const { checkout } = shop(order);
    checkout.place(body);
    const kept = JSON.parse(localStorage.getItem("jaego.shop.attempt") ?? "null");
    expect(kept).toMatchObject({ body });
    await vi.runAllTimersAsync();
    expect(localStorage.getItem("jaego.shop.attempt")).toBe("null");
    expect(keptCart.get()).toEqual([{ sku: "B", quantity: 1 }]);
    expect(keptOrders.get()).toEqual([{ id: "o1", placedAt: order.created_at, status: "confirmed" }]);
  });

  it("asks again with the same key when the answer is lost", async () => {
    const { asked, checkout } = shop(new NoAnswerError("cut"), new NoAnswerError("cut"), order);
    checkout.place(body);
    await vi.runAllTimersAsync();
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map(({ key }) => key)).size).toBe(1);
    expect(checkout.get().name).toBe("placed");
  });

  it("goes on after a reload, with the same key and body", async () => {
    const before = shop(new NoAnswerError("cut"));
    before.checkout.place(body);
    await vi.advanceTimersByTimeAsync(10);

    const after = shop(order);
    const stop = after.checkout.start();
    await vi.advanceTimersByTimeAsync(10);
    stop();
    expect(after.asked).toEqual(before.asked);
    expect(after.checkout.get().name).toBe("placed");
  });

  it("sends at once when the network is back", async () => {
    vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
    const { asked, checkout } = shop(new NoAnswerError("cut"), order);
    const stop = checkout.start();
    checkout.place(body);
    await vi.advanceTimersByTimeAsync(10);
    expect(checkout.get()).toMatchObject({ name: "waiting", why: "offline" });
    dispatchEvent(new Event("online"));
    await vi.advanceTimersByTimeAsync(10);
    stop();
    expect(asked).toHaveLength(2);
    expect(checkout.get().name).toBe("placed");
  });

  it("orders under another key after a refusal, and leaves the cart as it is until then", async () => {
    const lines = [{ sku: "A", requested: 2, available: 1, restock_eta: null }];
    const refusal = new ProblemError(
      { type: "/problems/out-of-stock", title: "", status: 409, lines },
      undefined,
    );
    const { asked, checkout } = shop(refusal, order);
    checkout.place(body);
    await vi.runAllTimersAsync();
    expect(checkout.get()).toMatchObject({ name: "short", lines });
    expect(keptCart.get()).toHaveLength(2);
    checkout.place({ lines: [{ sku: "A", quantity: 1 }] });
    await vi.runAllTimersAsync();
    expect(asked[1]?.key).not.toBe(asked[0]?.key);
    expect(checkout.get().name).toBe("placed");
  });

  it("forgets nothing that another tab keeps when it is left", async () => {
    const first = shop(order);
    first.checkout.place(body);
    await vi.advanceTimersByTimeAsync(10);
    expect(first.checkout.get().name).toBe("placed");
    const second = shop(new NoAnswerError("cut"));
    second.checkout.place(body);
    await vi.advanceTimersByTimeAsync(10);

    first.checkout.leave();
    expect(first.checkout.get().name).toBe("idle");
    expect(keptAttempt.fresh()).toEqual(second.asked[0]);
    const reloaded = shop(order);
    reloaded.checkout.start()();
    expect(reloaded.asked).toEqual(second.asked);

    second.checkout.leave();
    expect(keptAttempt.fresh()).toBeNull();
  });

  it.each([
    ["a page of something on the way", 200, "<html>Sign in to the network</html>"],
    ["a success without an order", 200, ""],
    ["the 404 of something on the way", 404, "<html>not found</html>"],
    ["another's problem", 403, '{"type":"about:blank","title":"Blocked","status":403}'],
  ])("asks again with the same key after %s", async (_, status, text) => {
    const answers = [new Response(text, { status }), new Response(JSON.stringify(order), { status: 201 })];
    const keys: (string | null)[] = [];
    vi.stubGlobal("fetch", async (request: Request) => {
      keys.push(request.headers.get("Idempotency-Key"));
      return answers.shift();
    });
    const checkout = new Checkout();
    checkout.place(body);
    const patience = { timeout: PATIENCE_MS };
    const isWaiting = () => expect(checkout.get()).toMatchObject({ name: "waiting", why: "noAnswer" });
    await vi.waitFor(isWaiting, patience);
    checkout.hurry();
    await vi.waitFor(() => expect(checkout.get()).toMatchObject({ name: "placed", order }), patience);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
  });

  it("leaves the cart alone when another tab has had the answer", async () => {
    const { checkout } = shop(order);
    checkout.place(body);
    // The other tab has received the answer and cleared the attempt.
    localStorage.setItem("jaego.shop.attempt", "null");
    await vi.runAllTimersAsync();
    expect(keptCart.get()).toHaveLength(2);
    expect(keptOrders.get()).toHaveLength(1);
  });
});
