import { describe, expect, it } from "vitest";
import { pictureOf } from "./picture";

const SKUS = ["CP-502101", "CP-502102", "CP-502103", "CP-502104", "CP-502105", "CP-502106", "CP-502107"];

describe("the picture of a SKU", () => {
  it("is always the same", () => {
    expect(pictureOf("CP-502101")).toEqual(pictureOf("CP-502101"));
  });

  it("is not that of its neighbours", () => {
    expect(new Set(SKUS.map((sku) => JSON.stringify(pictureOf(sku)))).size).toBe(SKUS.length);
  });

  it("shows the demo's twist as a twist, and its chocolate one in brown", () => {
    expect(pictureOf("CP-502104").shape).toBe("twist");
    expect(pictureOf("CP-502103").glaze).toBe("#6b3f2a");
  });

  it("keeps its toppings on the doughnut", () => {
    for (const sku of [...SKUS, "ebb60806-b0bf-11ed-8e89-069658f3b1c6", "a", ""]) {
      for (const { x, y } of pictureOf(sku).sprinkles) {
        expect(Math.hypot(x - 100, y - 100)).toBeLessThan(66);
      }
    }
  });
});
