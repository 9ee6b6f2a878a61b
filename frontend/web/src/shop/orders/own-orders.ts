/** The orders placed in this browser. There are no accounts, so a shopper finds an order only by its id. */
import type { Order } from "../checkout/submission";
import { Kept } from "../kept";

export interface OwnOrder {
  id: string;
  placedAt: string;
  /** Last known status; it decides which orders are still watched. */
  status: Order["status"];
}

const KEPT_MAX = 50;

export function parseOwnOrders(found: unknown): readonly OwnOrder[] {
  if (!Array.isArray(found)) return [];
  return found
    .filter((order): order is OwnOrder =>
      [order?.id, order?.placedAt, order?.status].every((text) => typeof text === "string"),
    )
    .slice(0, KEPT_MAX);
}

/** Adds an order at the front, or updates it if it is already known. */
export function remember(orders: readonly OwnOrder[], order: Order): readonly OwnOrder[] {
  const own = { id: order.id, placedAt: order.created_at, status: order.status };
  if (orders.some((known) => known.id === own.id)) {
    return orders.map((known) => (known.id === own.id ? own : known));
  }
  return [own, ...orders].slice(0, KEPT_MAX);
}

/** Ids of the orders that can still change. */
export function waiting(orders: readonly OwnOrder[]): string[] {
  return orders.filter((order) => order.status === "backordered").map((order) => order.id);
}

export const keptOrders = new Kept<readonly OwnOrder[]>("jaego.shop.orders", parseOwnOrders);

/** Stores an order that was placed in this browser. */
export function rememberOrder(order: Order): void {
  keptOrders.set(remember(keptOrders.fresh(), order));
}

/** Updates the status of a stored order. Other orders, opened by their URL, are not stored. */
export function noteStatus(order: Order): void {
  const known = keptOrders.get().find((own) => own.id === order.id);
  if (known && known.status !== order.status) rememberOrder(order);
}
