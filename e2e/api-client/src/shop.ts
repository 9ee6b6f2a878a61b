// A factory and three products created for this run only, so that it works on any stack.
import { answered, type Clients, etag, refused } from "./client.js";
import { behave, FACTORY_URL } from "./factory.js";
import { assert, everything, until } from "./wait.js";

const run = Date.now().toString(36);

export const FACTORY = `FF-E2E-${run}`;
/** Replenished automatically; orders are refused when stock is short. */
export const AUTO = `E2E-${run}-AUTO`;
/** Replenished manually; sold on backorder. */
export const BY_HAND = `E2E-${run}-BY-HAND`;
/** Replenished after an operator's approval. */
export const PROPOSED = `E2E-${run}-PROPOSED`;

export async function open({ sales, production }: Clients): Promise<void> {
  await behave({});
  const factory = { params: { path: { id: FACTORY } } };
  // No retries: a request that the factory refuses becomes a dead letter at once.
  const settings = { name: "도너츠 공장", base_url: FACTORY_URL, lead_time_s: 1, retry_schedule: [] };
  await answered(201, production.PUT("/api/v1/factories/{id}", { ...factory, body: settings }));
  const first = await etag(production.GET("/api/v1/factories/{id}", factory));
  const named = (tag: string) => ({ path: { id: FACTORY }, header: { "If-Match": tag } });
  const changed = { ...settings, name: "부산도너츠 공장" };
  await answered(200, production.PUT("/api/v1/factories/{id}", { params: named(first), body: changed }));
  const late = production.PUT("/api/v1/factories/{id}", { params: named(first), body: settings });
  assert((await refused(412, late)).type === "/problems/precondition-failed", "an old version is refused");
  const shown = await answered(200, production.GET("/api/v1/factories/{id}", factory));
  assert(shown.name === changed.name, `the factory is called ${shown.name}`);
  const factories = await everything((query) =>
    answered(200, production.GET("/api/v1/factories", { params: { query } })),
  );
  assert(factories.some(({ id }) => id === FACTORY), "the factory is in the list");

  const levels = { reorder_point: 0, order_up_to: 10, lot_size: 10, max_backordered: null };
  const product = { name: "도너츠", price: { amount: 19_900, currency: "KRW" }, factory_id: FACTORY };
  const auto = { ...product, policy: { ...levels, mode: "auto", shortage: "reject" } } as const;
  const path = { sku: AUTO };
  const tag = await etag(sales.PUT("/api/v1/products/{sku}", { params: { path }, body: auto }));
  const params = { path, header: { "If-Match": tag } };
  const renamed = { ...auto, name: "부산도너츠" };
  await answered(200, sales.PUT("/api/v1/products/{sku}", { params, body: renamed }));
  for (const [sku, policy] of [
    [BY_HAND, { ...levels, mode: "off", shortage: "backorder" }],
    [PROPOSED, { ...levels, reorder_point: 5, lot_size: 5, mode: "manual", shortage: "reject" }],
  ] as const) {
    const body = { ...product, policy };
    await answered(201, sales.PUT("/api/v1/products/{sku}", { params: { path: { sku } }, body }));
  }
}

/** Orders units from the factory manually; returns the id of the request. */
export async function request({ sales }: Clients, quantity: number): Promise<string> {
  const body = { sku: BY_HAND, quantity };
  return (await answered(201, sales.POST("/api/v1/replenishments", { body }))).id;
}

/** The same with these faults at the factory; returns once production-service reports `status`. */
export async function requestAndWait(
  clients: Clients,
  quantity: number,
  faults: Parameters<typeof behave>[0],
  status: "accepted" | "dead_lettered" | "received",
): Promise<string> {
  await behave({ ...faults, for_next: 1 });
  const id = await request(clients, quantity);
  await waitForRequest(clients, id, status);
  await behave({});
  return id;
}

export async function waitForRequest({ production }: Clients, id: string, status: string): Promise<void> {
  await until(`production request ${id} is ${status}`, async () => {
    const { data } = await production.GET("/api/v1/production-requests/{id}", { params: { path: { id } } });
    return data?.status === status ? data : undefined;
  });
}

export async function onHand({ sales }: Clients, sku: string): Promise<number> {
  return (await answered(200, sales.GET("/api/v1/stock/{sku}", { params: { path: { sku } } }))).on_hand;
}
