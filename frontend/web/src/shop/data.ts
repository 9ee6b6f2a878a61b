/** What the shop asks of sales-service. */
import { infiniteQueryOptions, type QueryKey, queryOptions } from "@tanstack/react-query";
import { ok, sales } from "../common/api";
import { isTemporary } from "../common/api/problem";
import { type LiveState, refetchInterval } from "../common/live";

const PRODUCTS_PAGE = 60;

/** All products on sale, page by page. */
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

/** What an event makes stale. A change of stock can change when a waiting order is filled, too. */
export function staleAfter(name: string, data: unknown): QueryKey[] {
  const { sku, id } = (data ?? {}) as { sku?: string; id?: string };
  if (name === "order") return [["orders", id]];
  return [
    ["products", "list"],
    ["products", "one", sku],
  ];
}

/** How often to look again without an event; never for what will not come back. */
export function lookAgain(live: LiveState) {
  return (query: { state: { error: unknown } }) =>
    query.state.error && !isTemporary(query.state.error) ? (false as const) : refetchInterval(live);
}
