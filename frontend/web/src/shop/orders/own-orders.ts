/** The shopper's orders, as this browser knows them: an order's id is what its shopper has of it. */
import type { Order } from "../checkout/submission";
import { Kept } from "../kept";

export interface OwnOrder {
  id: string;
  placedAt: string;
  /** As it was seen last: which orders are still worth watching. */
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

/** Newest first; one that is known already is brought up to date. */
export function remember(orders: readonly OwnOrder[], order: Order): readonly OwnOrder[] {
  const own = { id: order.id, placedAt: order.created_at, status: order.status };
  if (orders.some((known) => known.id === own.id)) {
    return orders.map((known) => (known.id === own.id ? own : known));
  }
  return [own, ...orders].slice(0, KEPT_MAX);
}

/** Orders that something can still happen to. */
export function waiting(orders: readonly OwnOrder[]): string[] {
  return orders.filter((order) => order.status === "backordered").map((order) => order.id);
}

export const keptOrders = new Kept<readonly OwnOrder[]>("jaego.shop.orders", parseOwnOrders);

/** Keeps an order that this browser has placed. */
export function rememberOrder(order: Order): void {
  keptOrders.set(remember(keptOrders.fresh(), order));
}

/** Notes how an own order is now; others, opened by their address, are not kept. */
export function noteStatus(order: Order): void {
  const known = keptOrders.get().find((own) => own.id === order.id);
  if (known && known.status !== order.status) rememberOrder(order);
}
