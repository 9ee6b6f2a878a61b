import { describe, expect, it } from "vitest";
import type { Order } from "../checkout/submission";
import { parseOwnOrders, remember, waiting } from "./own-orders";
import { progressOf } from "./progress";

function order(
  status: Order["status"],
  lines: [quantity: number, filled: number, eta?: string][],
  id = "o1",
): Order {
  const price = { amount: 1, currency: "KRW" };
  return {
    id,
    status,
    customer: null,
    total: price,
    replenishment_ids: [],
    created_at: "2026-01-01T00:00:00Z",
    lines: lines.map(([quantity, filled, eta], number) => ({
      sku: `S${number}`,
      quantity,
      filled,
      unit_price: price,
      restock_eta: eta ?? null,
    })),
  };
}

describe("progress", () => {
  it("counts units, and expects the last of the missing ones", () => {
    const eta = ["2026-01-01T00:01:00Z", "2026-01-01T00:05:00Z"] as const;
    expect(
      progressOf(
        order("backordered", [
          [3, 3],
          [2, 1, eta[0]],
          [1, 0, eta[1]],
        ]),
      ),
    ).toEqual({
      stage: "waiting",
      ordered: 6,
      filled: 4,
      eta: eta[1],
    });
  });

  it("expects nothing when one line's time is not known, or nothing is missing", () => {
    expect(
      progressOf(
        order("backordered", [
          [2, 1, "2026-01-01T00:01:00Z"],
          [1, 0],
        ]),
      ).eta,
    ).toBeUndefined();
    expect(progressOf(order("confirmed", [[2, 2]]))).toMatchObject({ stage: "fulfilled", eta: undefined });
    expect(progressOf(order("cancelled", [[2, 0]])).stage).toBe("cancelled");
  });
});

describe("own orders", () => {
  it("are kept newest first, each once, with the status seen last", () => {
    const first = remember([], order("backordered", [], "a"));
    const second = remember(first, order("confirmed", [], "b"));
    expect(second.map((own) => own.id)).toEqual(["b", "a"]);
    expect(waiting(second)).toEqual(["a"]);
    const third = remember(second, order("confirmed", [], "a"));
    expect(third.map((own) => own.id)).toEqual(["b", "a"]);
    expect(waiting(third)).toEqual([]);
  });

  it("are as many as a person looks through", () => {
    let orders = parseOwnOrders([{ id: 1 }, null]);
    expect(orders).toEqual([]);
    for (let number = 0; number < 60; number += 1)
      orders = remember(orders, order("confirmed", [], `o${number}`));
    expect(orders).toHaveLength(50);
    expect(orders[0]?.id).toBe("o59");
  });
});
