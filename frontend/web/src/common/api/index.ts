/**
 * Clients of the services. Paths, parameters and responses are typed from the services' OpenAPI documents, so
 * that a call to a removed route does not compile. Error responses are thrown:
 *
 *     const { items } = await ok(sales.GET("/api/v1/products", { params: { query: { limit: 200 } } }));
 */
import createClient from "openapi-fetch";
import type { paths as AccessPaths } from "../../../generated/access";
import type { paths as ProductionPaths } from "../../../generated/production";
import type { paths as RestockPaths } from "../../../generated/restock";
import type { components as SalesComponents, paths as SalesPaths } from "../../../generated/sales";
import { request, understood } from "./http";

export type { components as AccessComponents } from "../../../generated/access";
export type { components as ProductionComponents } from "../../../generated/production";
export type { components as RestockComponents } from "../../../generated/restock";
export type { components as SalesComponents } from "../../../generated/sales";

/** An amount in minor units of its currency. */
export type Money = SalesComponents["schemas"]["Money"];

// `fetch` is looked up at each call, so that tests can replace it.
const options = (baseUrl: string) => ({ baseUrl, fetch: (input: Request) => request(input) });

export const sales = createClient<SalesPaths>(options("/sales"));
export const production = createClient<ProductionPaths>(options("/production"));
export const restock = createClient<RestockPaths>(options("/restock"));
export const access = createClient<AccessPaths>(options("/access"));

/** Returns the body of a success; errors have been thrown before. */
export async function ok<T>(call: Promise<{ data?: T; response: Response }>): Promise<T> {
  const { data } = await understood(call);
  return data as T;
}

/** The same with the response's headers and status, for `ETag`, `Idempotency-Replayed` and 202. */
export async function answered<T>(
  call: Promise<{ data?: T; response: Response }>,
): Promise<{ data: T; response: Response }> {
  const { data, response } = await understood(call);
  return { data: data as T, response };
}

/** A new `Idempotency-Key`. (`crypto.randomUUID` exists only on https and localhost.) */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
