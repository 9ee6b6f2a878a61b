import { describe, expect, it } from "vitest";
import { availability, isOrderable, type Product } from "./availability";

const now = "2026-11-22T12:00:00Z";
const later = "2026-11-22T12:05:00Z";
const earlier = "2026-11-22T11:59:00Z";

function product(status: Product["status"], available: number, restock_eta: string | null = null): Product {
  const price = { amount: 1, currency: "KRW" };
  return {
    sku: "A",
    name: "a",
    price,
    available,
    status,
    restock_eta,
    max_per_order: 1_000,
    shortage: "reject",
  };
}

describe("what a card says", () => {
  it.each([
    [product("in_stock", 60), { kind: "inStock" }],
    [product("low", 3, later), { kind: "low", left: 3 }],
    [product("sold_out", 0, later), { kind: "back", eta: later }],
    [product("sold_out", 0, earlier), { kind: "soon" }],
    [product("sold_out", 0), { kind: "soldOut" }],
    [product("backorder", 0, later), { kind: "backorder", eta: later }],
    [product("backorder", 0, earlier), { kind: "backorder", eta: undefined }],
  ])("%o", (one, said) => {
    expect(availability(one, now)).toEqual(said);
  });

  it("only what is sold out cannot be ordered", () => {
    expect(isOrderable(product("sold_out", 0, later))).toBe(false);
    expect(isOrderable(product("backorder", 0))).toBe(true);
  });
});
