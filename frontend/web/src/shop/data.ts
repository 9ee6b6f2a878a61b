/** The shop's queries to sales-service. */
import { infiniteQueryOptions, type QueryClient, type QueryKey, queryOptions } from "@tanstack/react-query";
import { ok, sales } from "../common/api";
import { isTemporary } from "../common/api/problem";
import { type LiveState, refetchInterval } from "../common/live";
import type { Order } from "./checkout/submission";

const PRODUCTS_PAGE = 60;

export const productsQuery = infiniteQueryOptions({
  queryKey: ["products", "list"],
  initialPageParam: undefined as string | undefined,
  queryFn: ({ pageParam, signal }) =>
    ok(
      sales.GET("/api/v1/products", {
        params: { query: { limit: PRODUCTS_PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
        signal,
      }),
    ),
  getNextPageParam: (page) => page.next_cursor ?? undefined,
});

export const productQuery = (sku: string) =>
  queryOptions({
    queryKey: ["products", "one", sku],
    queryFn: ({ signal }) => ok(sales.GET("/api/v1/products/{sku}", { params: { path: { sku } }, signal })),
  });

export const orderQuery = (id: string) =>
  queryOptions({
    queryKey: ["orders", id],
    queryFn: ({ signal }) => ok(sales.GET("/api/v1/orders/{id}", { params: { path: { id } }, signal })),
  });

/**
 * Maps an event to the queries that it makes stale. A stock change may have partly filled an order that waits for the
 * product: order events are sent only for final states.
 */
export function staleAfter(client: QueryClient) {
  return (name: string, data: unknown): QueryKey[] => {
    const { sku, id } = (data ?? {}) as { sku?: string; id?: string };
    if (name === "order") return [["orders", id]];
    const shown = client.getQueryCache().findAll({ queryKey: ["orders"], type: "active" });
    const waiting = shown.filter((query) => waitsFor(query.state.data as Order | undefined, sku));
    return [["products", "list"], ["products", "one", sku], ...waiting.map((query) => query.queryKey)];
  };
}

function waitsFor(order: Order | undefined, sku: string | undefined): boolean {
  return order?.lines.some((line) => line.sku === sku && line.filled < line.quantity) ?? false;
}

/** Polling interval without events; no polling after a permanent error. */
export function lookAgain(live: LiveState) {
  return (query: { state: { error: unknown } }) =>
    query.state.error && !isTemporary(query.state.error) ? (false as const) : refetchInterval(live);
}
