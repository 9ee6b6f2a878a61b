import { answered, type Clients } from "./client.js";
import { BY_HAND, FACTORY, requestAndWait, waitForRequest } from "./shop.js";
import { assert, everything } from "./wait.js";

/** Returns the ids of the requests it makes. */
export async function retryAndCancel(clients: Clients): Promise<string[]> {
  const { production } = clients;
  const dead = await requestAndWait(clients, 1, { refuse_status: 503 }, "dead_lettered");
  const path = { id: dead };
  const shown = await answered(200, production.GET("/api/v1/production-requests/{id}", { params: { path } }));
  assert(shown.attempts[0]?.outcome === "unknown" && shown.attempts[0].status === 503, JSON.stringify(shown.attempts));
  await answered(200, production.POST("/api/v1/production-requests/{id}/retry", { params: { path } }));
  await waitForRequest(clients, dead, "received");

  const waiting = await requestAndWait(clients, 1, { never_call_back: true }, "accepted");
  const cancel = production.POST("/api/v1/production-requests/{id}/cancel", { params: { path: { id: waiting } } });
  const cancelled = await answered(200, cancel);
  assert(cancelled.status === "cancelled", `the request is ${cancelled.status}`);

  const found = await everything((query) => {
    const filter = { ...query, sku: BY_HAND, factory: FACTORY };
    return answered(200, production.GET("/api/v1/production-requests", { params: { query: filter } }));
  });
  const ids = [waiting, dead];
  assert(found.slice(0, 2).map(({ id }) => id).join() === ids.join(), "the newest requests come first");
  return ids;
}
