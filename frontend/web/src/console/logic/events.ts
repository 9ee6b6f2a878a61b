/** Maps live events to the queries they make stale and the counters they increment. */
import type { QueryKey } from "@tanstack/react-query";
import type { ConsoleEvent, ConsoleEventName } from "../../common/live";

/** Query key prefixes: every query of the console begins with one of them. */
export const KEYS = {
  stock: ["stock"],
  orders: ["orders"],
  replenishments: ["replenishments"],
  requests: ["requests"],
  factories: ["factories"],
  receipts: ["receipts"],
  quarantine: ["quarantine"],
  deadLetters: ["dead-letters"],
  timeline: ["timeline"],
  auditLog: ["audit-log"],
  audit: ["audit"],
  tokens: ["tokens"],
  sessions: ["sessions"],
} as const satisfies Record<string, QueryKey>;

/** Counters of the flow diagram. */
export type Station =
  | "ordered"
  | "backordered"
  | "rejected"
  | "changed"
  | "requested"
  | "accepted"
  | "failed"
  | "received"
  | "receivedUnits";

export function staleAfter(name: ConsoleEventName): QueryKey[] {
  const [family] = name.split(".");
  const { stock, orders, replenishments, requests, factories, receipts, deadLetters, timeline, quarantine } =
    KEYS;
  if (name === "stock.changed") return [stock];
  if (name === "stock.received") return [stock, receipts, quarantine, requests, replenishments, timeline];
  if (name === "production.dead_lettered")
    return [deadLetters, requests, replenishments, timeline, factories];
  if (family === "order") return [orders, timeline];
  if (family === "factory") return [factories];
  return [
    requests,
    replenishments,
    timeline,
    stock,
    ...(family === "production" ? [deadLetters, factories] : []),
  ];
}

/** Number of orders in an order event: the list may be truncated, `count` is complete. */
function ordersIn(event: ConsoleEvent): number {
  const { count, orders } = event.data;
  if (typeof count === "number") return count;
  return Array.isArray(orders) ? orders.length : 1;
}

/** The amount that an event adds to each counter. */
export function countedIn(name: ConsoleEventName, event: ConsoleEvent): [Station, number][] {
  switch (name) {
    case "order.confirmed":
      return [["ordered", ordersIn(event)]];
    case "order.backordered":
      return [
        ["ordered", ordersIn(event)],
        ["backordered", ordersIn(event)],
      ];
    case "order.rejected":
      return [
        ["ordered", ordersIn(event)],
        ["rejected", ordersIn(event)],
      ];
    case "stock.changed":
      return [["changed", 1]];
    case "production.requested":
      return [["requested", 1]];
    case "production.accepted":
      return [["accepted", 1]];
    case "production.dead_lettered":
    case "production.refused":
      return [["failed", 1]];
    case "stock.received":
      return [
        ["received", 1],
        ["receivedUnits", typeof event.data.quantity === "number" ? event.data.quantity : 0],
      ];
    default:
      return [];
  }
}
