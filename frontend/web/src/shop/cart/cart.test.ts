import { describe, expect, it } from "vitest";
import { add, LINES_MAX, parseCart, QUANTITY_MAX, remove, setQuantity, units, without } from "./cart";

const cart = [
  { sku: "A", quantity: 2 },
  { sku: "B", quantity: 1 },
];

describe("the cart", () => {
  it("adds to a line that is there, and makes one that is not", () => {
    expect(add(cart, "A", 3)).toEqual([
      { sku: "A", quantity: 5 },
      { sku: "B", quantity: 1 },
    ]);
    expect(add([], "C", 1)).toEqual([{ sku: "C", quantity: 1 }]);
  });

  it("keeps quantities whole and within what an order may have", () => {
    expect(setQuantity(cart, "A", 0)[0]?.quantity).toBe(1);
    expect(setQuantity(cart, "A", 2.9)[0]?.quantity).toBe(2);
    expect(setQuantity(cart, "A", Number.NaN)[0]?.quantity).toBe(1);
    expect(add(cart, "A", 1e9)[0]?.quantity).toBe(QUANTITY_MAX);
  });

  it("takes no more of a product than one order may have of it", () => {
    expect(add(cart, "A", 3, 4)[0]?.quantity).toBe(4);
    expect(add([], "C", 9, 4)[0]?.quantity).toBe(4);
    expect(add([{ sku: "A", quantity: 9 }], "A", 1, 4)[0]?.quantity).toBe(9);
    expect(add([], "C", 1e9, 1_000_000)[0]?.quantity).toBe(QUANTITY_MAX);
  });

  it("takes no more kinds than an order may have", () => {
    const full = Array.from({ length: LINES_MAX }, (_, number) => ({ sku: `S${number}`, quantity: 1 }));
    expect(add(full, "one-more", 1)).toHaveLength(LINES_MAX);
    expect(add(full, "S0", 1)[0]?.quantity).toBe(2);
  });

  it("removes, counts, and takes out what was ordered", () => {
    expect(remove(cart, "A")).toEqual([{ sku: "B", quantity: 1 }]);
    expect(units(cart)).toBe(3);
    expect(without(cart, cart)).toEqual([]);
    expect(without(cart, [{ sku: "A", quantity: 1 }])).toEqual([
      { sku: "A", quantity: 1 },
      { sku: "B", quantity: 1 },
    ]);
  });

  it("makes a cart of whatever the storage holds", () => {
    expect(parseCart(undefined)).toEqual([]);
    expect(parseCart({ sku: "A" })).toEqual([]);
    expect(parseCart([{ sku: "A", quantity: 1 }, null, { sku: 7 }, { sku: "B", quantity: -1 }])).toEqual([
      { sku: "A", quantity: 1 },
    ]);
    expect(
      parseCart([
        { sku: "A", quantity: 1 },
        { sku: "A", quantity: 2 },
      ]),
    ).toEqual([{ sku: "A", quantity: 3 }]);
  });
});
