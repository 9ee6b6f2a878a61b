/**
 * When more is ordered, and how much: the same rule as sales-service's `domain/policy.rs`, so that an operator
 * sees what a policy would do while typing it. The service's own decision is shown beside it and counts.
 */
import type { SalesComponents } from "../../common/api";

export type Policy = SalesComponents["schemas"]["PolicyBody"];

/** What a decision is made from, units. */
export interface Figures {
  on_hand: number;
  on_order: number;
  backordered: number;
}

/** Most units of one replenishment, and of every level. */
export const UNITS_MAX = 1_000_000;

export type PolicyField = "reorder_point" | "order_up_to" | "lot_size" | "max_backordered";
/** A field that takes a number; one order's bound is the product's, and is set beside its policy. */
export type NumberField = PolicyField | "max_per_order";
/** What is wrong with a field, as the key of a text. */
export type PolicyFault = "whole" | "notNegative" | "units" | "aboveReorderPoint";

/** Every field that cannot work. */
export function policyFaults(policy: Policy): Partial<Record<PolicyField, PolicyFault>> {
  const { reorder_point, order_up_to, lot_size, max_backordered } = policy;
  const faults: Partial<Record<PolicyField, PolicyFault>> = {};
  const isUnits = (value: number) => value >= 1 && value <= UNITS_MAX;
  if (!Number.isInteger(reorder_point)) faults.reorder_point = "whole";
  else if (reorder_point < 0) faults.reorder_point = "notNegative";
  if (!Number.isInteger(order_up_to)) faults.order_up_to = "whole";
  else if (!isUnits(order_up_to)) faults.order_up_to = "units";
  else if (order_up_to <= reorder_point) faults.order_up_to = "aboveReorderPoint";
  if (!Number.isInteger(lot_size)) faults.lot_size = "whole";
  else if (!isUnits(lot_size)) faults.lot_size = "units";
  if (max_backordered !== null && max_backordered !== undefined) {
    if (!Number.isInteger(max_backordered)) faults.max_backordered = "whole";
    else if (max_backordered < 0 || max_backordered > UNITS_MAX) faults.max_backordered = "units";
  }
  return faults;
}

/** On hand + on order - backordered. */
export function positionOf(figures: Figures): number {
  return figures.on_hand + figures.on_order - figures.backordered;
}

/** What a policy says of some figures now. */
export interface Stance {
  answer: "order" | "propose" | "none";
  position: number;
  /** Units that are asked for; what would be asked for when something holds it back. */
  quantity: number;
  lots: number;
  /** Whether the position is at or below the reorder point. */
  needed: boolean;
  /** Whether one replenishment reaches the level. */
  reaches: boolean;
  /** Why nothing is ordered though more is needed. */
  heldBackBy: "off" | "paused" | null;
}

/** The stance of a policy that has no faults. */
export function stanceOf(figures: Figures, policy: Policy, isPaused: boolean): Stance {
  const position = positionOf(figures);
  if (position > policy.reorder_point) {
    return { answer: "none", position, quantity: 0, lots: 0, needed: false, reaches: true, heldBackBy: null };
  }
  const missing = policy.order_up_to - position;
  const lots = Math.min(Math.ceil(missing / policy.lot_size), Math.floor(UNITS_MAX / policy.lot_size));
  const quantity = lots * policy.lot_size;
  const reaches = position + quantity >= policy.order_up_to;
  const heldBackBy = policy.mode === "off" ? "off" : isPaused ? "paused" : null;
  const answer = heldBackBy ? "none" : policy.mode === "manual" ? "propose" : "order";
  return { answer, position, quantity, lots, needed: true, reaches, heldBackBy };
}

/** A policy as it is being typed, and what one order may have. */
export interface PolicyForm {
  reorder_point: string;
  order_up_to: string;
  lot_size: string;
  /** Empty: the shop's bound of all products. */
  max_backordered: string;
  /** Empty: the shop's bound of all products. */
  max_per_order: string;
  mode: Policy["mode"];
  shortage: Policy["shortage"];
}

export function formOfPolicy(policy: Policy, perOrder: number | null): PolicyForm {
  return {
    reorder_point: String(policy.reorder_point),
    order_up_to: String(policy.order_up_to),
    lot_size: String(policy.lot_size),
    max_backordered: policy.max_backordered == null ? "" : String(policy.max_backordered),
    max_per_order: perOrder === null ? "" : String(perOrder),
    mode: policy.mode,
    shortage: policy.shortage,
  };
}

/** A whole number, also with separators ("1,000"); NaN for another text. */
export function wholeNumber(text: string): number {
  const plain = text.trim().replaceAll(",", "");
  return /^-?\d{1,15}$/.test(plain) ? Number(plain) : Number.NaN;
}

/** What was typed, as a policy; it may have faults. */
export function policyOfForm(form: PolicyForm): Policy {
  return {
    reorder_point: wholeNumber(form.reorder_point),
    order_up_to: wholeNumber(form.order_up_to),
    lot_size: wholeNumber(form.lot_size),
    mode: form.mode,
    shortage: form.shortage,
    max_backordered: form.max_backordered.trim() === "" ? null : wholeNumber(form.max_backordered),
  };
}

/** Most of the product that one order may have, as typed; null when that is left to the shop. */
export function perOrderOfForm(form: PolicyForm): number | null {
  return form.max_per_order.trim() === "" ? null : wholeNumber(form.max_per_order);
}

/**
 * Every field of the form that cannot work. The service's settings may bound `max_per_order` further: it then says
 * so itself.
 */
export function formFaults(form: PolicyForm): Partial<Record<NumberField, PolicyFault>> {
  const faults: Partial<Record<NumberField, PolicyFault>> = policyFaults(policyOfForm(form));
  const perOrder = perOrderOfForm(form);
  if (perOrder === null) return faults;
  if (!Number.isInteger(perOrder)) return { ...faults, max_per_order: "whole" };
  return perOrder >= 1 && perOrder <= UNITS_MAX ? faults : { ...faults, max_per_order: "units" };
}
