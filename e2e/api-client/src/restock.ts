import { answered, type Clients } from "./client.js";
import { tokenOf } from "./factory.js";
import { requestAndWait } from "./shop.js";
import { assert, everything, until } from "./wait.js";

/** Returns the ids of the requests it makes. */
export async function receiveAndJudge(clients: Clients): Promise<string[]> {
  const lost = await aLostCallback(clients);
  const tooMuch = await anOverDelivery(clients);
  const { restock } = clients;
  const receipts = await everything((query) => answered(200, restock.GET("/api/v1/receipts", { params: { query } })));
  const units = (id: string) =>
    receipts.filter(({ request_id }) => request_id === id).reduce((sum, { quantity }) => sum + quantity, 0);
  assert(units(lost) === 10 && units(tooMuch) === 15, `booked ${units(lost)} of 10 and ${units(tooMuch)} of 15`);
  return [lost, tooMuch];
}

/** Some units are booked manually; then the factory delivers the rest after all, and once too often. */
async function aLostCallback(clients: Clients): Promise<string> {
  const { restock } = clients;
  const id = await requestAndWait(clients, 10, { never_call_back: true }, "accepted");
  const body = { request_id: id, quantity: 4, reason: "delivery note 4711, the callback never came" };
  await until("restock-service knows the request", async () => {
    const call = restock.POST("/api/v1/receipts", { body });
    return (await call).response.status === 404 ? undefined : await answered(201, call);
  });

  const params = { path: { token: await tokenOf(id) } };
  const deliver = (name: string) =>
    restock.POST("/callbacks/v1/restocks/{token}", {
      params,
      body: { MessageAttributeProductCnt: "6", DeliveryId: name },
    });
  const [first, again] = [await answered(200, deliver("first")), await answered(200, deliver("first"))];
  assert("receipt_id" in first && first.status === "received" && first.quantity === 6, JSON.stringify(first));
  assert("receipt_id" in again && again.status === "duplicate", JSON.stringify(again));
  assert(first.receipt_id === again.receipt_id, "a repeated delivery gets the same receipt");
  const second = await answered(202, deliver("second"));
  assert("reason" in second && second.reason === "nothing-open", JSON.stringify(second));

  const entry = await quarantined(clients, id);
  const discard = { params: { path: { id: entry } }, body: { reason: "reported twice, only one truck came" } };
  const discarded = await answered(200, restock.POST("/api/v1/quarantine/{id}/discard", discard));
  assert(discarded.status === "discarded" && discarded.receipt_id === null, JSON.stringify(discarded));
  return id;
}

async function anOverDelivery(clients: Clients): Promise<string> {
  const { restock } = clients;
  const id = await requestAndWait(clients, 10, { deliver_extra: 5 }, "received");
  const accept = {
    params: { path: { id: await quarantined(clients, id) } },
    body: { reason: "counted: 5 more in the truck", quantity: 5 },
  };
  const accepted = await answered(200, restock.POST("/api/v1/quarantine/{id}/accept", accept));
  assert(accepted.status === "accepted" && accepted.reason === "over-delivery", JSON.stringify(accepted));
  return id;
}

/** Returns the id of the request's undecided quarantine entry. */
async function quarantined({ restock }: Clients, requestId: string): Promise<string> {
  const page = await answered(200, restock.GET("/api/v1/quarantine", { params: { query: { limit: 200 } } }));
  const entry = page.items.find(({ request_id, status }) => request_id === requestId && status === "waiting");
  assert(entry !== undefined, `nothing of ${requestId} is in the quarantine`);
  return entry.id;
}

/** Reads the quarantine page by page. */
export async function quarantine({ restock }: Clients): Promise<void> {
  const entries = await everything((query) => answered(200, restock.GET("/api/v1/quarantine", { params: { query } })));
  const reasons = entries.slice(0, 2).map(({ reason }) => reason);
  assert(reasons.join() === "over-delivery,nothing-open", `the newest entries are ${reasons.join()}`);
}
