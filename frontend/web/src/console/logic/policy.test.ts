import { describe, expect, it } from "vitest";
import {
  formFaults,
  formOfPolicy,
  type Policy,
  perOrderOfForm,
  policyFaults,
  policyOfForm,
  stanceOf,
  wholeNumber,
} from "./policy";

const policy = (changes: Partial<Policy> = {}): Policy => ({
  reorder_point: 5,
  order_up_to: 20,
  lot_size: 8,
  mode: "auto",
  shortage: "reject",
  ...changes,
});
const figures = (on_hand: number, on_order = 0, backordered = 0) => ({ on_hand, on_order, backordered });

describe("the replenishment policy", () => {
  it("orders whole lots and counts what is on order, as sales-service's own test has it", () => {
    const ask = (...counts: Parameters<typeof figures>) =>
      stanceOf(figures(...counts), policy(), false).quantity;
    expect(ask(5)).toBe(16);
    expect(ask(6)).toBe(0);
    expect(ask(0, 16)).toBe(0);
    expect(ask(0, 16, 12)).toBe(16);
    expect(ask(0, 0, 30)).toBe(56);
  });

  it("keeps one replenishment within its bound and says that the level is not reached", () => {
    const stance = stanceOf(
      figures(0, 0, 3_000_000),
      policy({ reorder_point: 0, order_up_to: 1_000_000, lot_size: 300_000 }),
      false,
    );
    expect(stance).toMatchObject({ quantity: 900_000, lots: 3, reaches: false, answer: "order" });
  });

  it("says what holds an order back", () => {
    const low = figures(2);
    expect(stanceOf(low, policy(), false)).toMatchObject({ answer: "order", heldBackBy: null });
    expect(stanceOf(low, policy({ mode: "manual" }), false)).toMatchObject({ answer: "propose" });
    expect(stanceOf(low, policy(), true)).toMatchObject({
      answer: "none",
      heldBackBy: "paused",
      quantity: 24,
    });
    expect(stanceOf(low, policy({ mode: "off" }), true)).toMatchObject({ answer: "none", heldBackBy: "off" });
    expect(stanceOf(figures(6), policy(), false)).toMatchObject({ answer: "none", needed: false });
  });

  it("names every field that cannot work", () => {
    expect(policyFaults(policy())).toEqual({});
    expect(policyFaults(policy({ max_backordered: null }))).toEqual({});
    expect(policyFaults(policy({ reorder_point: -1 }))).toEqual({ reorder_point: "notNegative" });
    expect(policyFaults(policy({ reorder_point: 20 }))).toEqual({ order_up_to: "aboveReorderPoint" });
    expect(policyFaults(policy({ order_up_to: 1_000_001, lot_size: 0 }))).toEqual({
      order_up_to: "units",
      lot_size: "units",
    });
    expect(policyFaults(policy({ lot_size: 1.5, reorder_point: Number.NaN, max_backordered: -1 }))).toEqual({
      lot_size: "whole",
      reorder_point: "whole",
      max_backordered: "units",
    });
  });

  it("bounds what one order may have, or leaves it to the shop", () => {
    const form = (max_per_order: string) => ({ ...formOfPolicy(policy(), 9), max_per_order });
    expect([perOrderOfForm(formOfPolicy(policy(), 9)), perOrderOfForm(form(" "))]).toEqual([9, null]);
    expect(["", "1", "1,000,000"].map((text) => formFaults(form(text)))).toEqual([{}, {}, {}]);
    expect(["0", "-1", "1000001"].map((text) => formFaults(form(text)))).toEqual(
      Array(3).fill({ max_per_order: "units" }),
    );
    expect(formFaults(form("many"))).toEqual({ max_per_order: "whole" });
    expect(formFaults({ ...form("0"), lot_size: "0" })).toEqual({
      max_per_order: "units",
      lot_size: "units",
    });
  });

  it("survives its form, and reads numbers as people type them", () => {
    const bounded = policy({ max_backordered: 7 });
    expect(policyOfForm(formOfPolicy(bounded, 9))).toEqual(bounded);
    expect(policyOfForm(formOfPolicy(policy(), null))).toEqual(policy({ max_backordered: null }));
    expect([" 12 ", "1,000", "-3"].map(wholeNumber)).toEqual([12, 1000, -3]);
    expect(["", "1.5", "1e3", "x", "9".repeat(16)].map(wholeNumber)).toEqual(Array(5).fill(Number.NaN));
  });
});
