/**
 * The replenishment rule of sales-service (`domain/policy.rs`), so that an operator can see the effect of a policy
 * while typing it. The service's own decision is shown beside it and is the one that applies.
 */
import type { SalesComponents } from "../../common/api";

export type Policy = SalesComponents["schemas"]["PolicyBody"];

/** The inputs of a decision, in units. */
export interface Figures {
  on_hand: number;
  on_order: number;
  backordered: number;
}

/** Maximum units of one replenishment and of every level. */
export const UNITS_MAX = 1_000_000;

export type PolicyField = "reorder_point" | "order_up_to" | "lot_size" | "max_backordered";
/** A numeric field. `max_per_order` belongs to the product, not to its policy, and is edited beside it. */
export type NumberField = PolicyField | "max_per_order";
/** The error of a field, as a translation key. */
export type PolicyFault = "whole" | "notNegative" | "units" | "aboveReorderPoint";

/** The error of every invalid field. */
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

export function positionOf(figures: Figures): number {
  return figures.on_hand + figures.on_order - figures.backordered;
}

/** The outcome of a policy for given figures. */
export interface Stance {
  answer: "order" | "propose" | "none";
  position: number;
  /** Units to order, or that would be ordered if nothing held the order back. */
  quantity: number;
  lots: number;
  /** The position is at or below the reorder point. */
  needed: boolean;
  /** One replenishment reaches the order-up-to level. */
  reaches: boolean;
  /** The reason why nothing is ordered although the position requires it. */
  heldBackBy: "off" | "paused" | null;
}

/** Requires a valid policy. */
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

/** A policy and the product's limit per order, as typed. */
export interface PolicyForm {
  reorder_point: string;
  order_up_to: string;
  lot_size: string;
  /** Empty: the shop-wide limit applies. */
  max_backordered: string;
  /** Empty: the shop-wide limit applies. */
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

/** Parses an integer, with or without separators ("1,000"); NaN for any other text. */
export function wholeNumber(text: string): number {
  const plain = text.trim().replaceAll(",", "");
  return /^-?\d{1,15}$/.test(plain) ? Number(plain) : Number.NaN;
}

/** The typed policy; it may be invalid. */
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

/** The typed limit per order; null when the shop-wide limit applies. */
export function perOrderOfForm(form: PolicyForm): number | null {
  return form.max_per_order.trim() === "" ? null : wholeNumber(form.max_per_order);
}

/**
 * The error of every invalid field. The service's settings may limit `max_per_order` further; the service then
 * rejects the value itself.
 */
export function formFaults(form: PolicyForm): Partial<Record<NumberField, PolicyFault>> {
  const faults: Partial<Record<NumberField, PolicyFault>> = policyFaults(policyOfForm(form));
  const perOrder = perOrderOfForm(form);
  if (perOrder === null) return faults;
  if (!Number.isInteger(perOrder)) return { ...faults, max_per_order: "whole" };
  return perOrder >= 1 && perOrder <= UNITS_MAX ? faults : { ...faults, max_per_order: "units" };
}
