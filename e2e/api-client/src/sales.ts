import { answered, type Clients, refused } from "./client.js";
import { behave } from "./factory.js";
import { AUTO, BY_HAND, onHand, PROPOSED, requestAndWait, waitForRequest } from "./shop.js";
import { assert, everything, until } from "./wait.js";

export async function sellAndKeepStock(clients: Clients): Promise<void> {
  await keepStock(clients);
  await sell(clients);
  await sellWhatIsNotThere(clients);
  await decide(clients);
}

async function keepStock({ sales }: Clients): Promise<void> {
  const path = { sku: AUTO };
  const params = { path, header: { "Idempotency-Key": `opening-${AUTO}` } };
  const opening = { delta: 3, reason: "correction", note: "opening stock" } as const;
  const booked = await answered(201, sales.POST("/api/v1/products/{sku}/adjustments", { params, body: opening }));
  const again = sales.POST("/api/v1/products/{sku}/adjustments", { params, body: opening });
  assert((await answered(201, again)).id === booked.id, "the same key gets the first answer");
  assert((await again).response.headers.get("idempotency-replayed") === "true", "and is marked as replayed");
  const broken = { delta: -1, reason: "damage" } as const;
  await answered(201, sales.POST("/api/v1/products/{sku}/adjustments", { params: { path }, body: broken }));

  const entries = await everything(async (query) => {
    const page = await answered(200, sales.GET("/api/v1/stock/{sku}/movements", { params: { path, query } }));
    assert(typeof page !== "string", "a table must be asked for");
    return page;
  });
  assert(entries.map(({ cause }) => cause).join() === "damage,correction", "the ledger lists the newest first");
  const table = sales.GET("/api/v1/stock/{sku}/movements", {
    params: { path },
    headers: { Accept: "text/csv" },
    parseAs: "text",
  });
  assert((await answered(200, table)).split("\n").length === 4, "a head, two entries, an end of line");

  const stock = await everything((query) => answered(200, sales.GET("/api/v1/stock", { params: { query } })), 2);
  assert(stock.some(({ sku, on_hand }) => sku === AUTO && on_hand === 2), "the product is in the list");
  const products = await everything((query) => answered(200, sales.GET("/api/v1/products", { params: { query } })), 2);
  assert(products.some(({ sku, status }) => sku === AUTO && status === "low"), "the product is in the list");
  assert((await answered(200, sales.GET("/api/v1/products/{sku}", { params: { path } }))).available === 2, "2 left");
  const decision = sales.GET("/api/v1/stock/{sku}/replenishment-decision", { params: { path } });
  assert((await answered(200, decision)).answer === "none", "2 are above the reorder point");
}

/** The main scenario: a shortage triggers production, and the goods arrive in stock. */
async function sell(clients: Clients): Promise<void> {
  const { sales } = clients;
  const order = (quantity: number) => sales.POST("/api/v1/orders", { body: { lines: [{ sku: AUTO, quantity }] } });
  const { id } = await answered(201, order(1));
  const path = { id };
  const shown = await answered(200, sales.GET("/api/v1/orders/{id}", { params: { path } }));
  assert(shown.status === "confirmed" && shown.lines[0]?.filled === 1, `the order is ${shown.status}`);
  const cancelled = await answered(200, sales.POST("/api/v1/orders/{id}/cancel", { params: { path } }));
  assert(cancelled.status === "cancelled", `the order is ${cancelled.status}`);

  const short = await refused(409, order(3));
  assert("lines" in short && short.lines[0]?.available === 2, `refused, but ${JSON.stringify(short)}`);
  await until("what was short is on hand", async () => ((await onHand(clients, AUTO)) === 12 ? true : undefined));
  const orders = await everything((query) =>
    answered(200, sales.GET("/api/v1/orders", { params: { query: { ...query, sku: AUTO } } })),
  );
  assert(orders.map(({ status }) => status).join() === "rejected,cancelled", "refused orders are kept, too");
}

async function sellWhatIsNotThere(clients: Clients): Promise<void> {
  const { sales } = clients;
  const lines = [{ sku: BY_HAND, quantity: 2 }];
  const order = sales.POST("/api/v1/orders", { body: { lines, customer: "kim", on_shortage: "backorder" } });
  const { id } = await answered(202, order);
  const request = await requestAndWait(clients, 2, {}, "received");
  await until("the order is filled", async () => {
    const { data } = await sales.GET("/api/v1/orders/{id}", { params: { path: { id } } });
    return data?.lines[0]?.filled === 2 ? data : undefined;
  });
  await fromTheClickToTheShelf(clients, id, request);
}

/** Merges the three services' timelines and checks that no step of the chain is missing. */
async function fromTheClickToTheShelf({ sales, production, restock }: Clients, order: string, request: string) {
  const query = { request };
  const parts = [
    await answered(200, sales.GET("/api/v1/timeline", { params: { query: { order } } })),
    await answered(200, sales.GET("/api/v1/timeline", { params: { query } })),
    await answered(200, production.GET("/api/v1/timeline", { params: { query } })),
    await answered(200, restock.GET("/api/v1/timeline", { params: { query } })),
  ];
  const steps = parts.flatMap(({ items }) => items).sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  const kinds = new Set(steps.map(({ kind }) => kind));
  for (const kind of [
    "order.backordered",
    "replenishment.ordered",
    "production.attempted",
    "production.accepted",
    "receipt.booked",
    "receipt.applied",
    "order.fulfilled",
  ] as const) {
    assert(kinds.has(kind), `${kind} is listed for order ${order} and request ${request}: ${[...kinds].join()}`);
  }
}

async function decide(clients: Clients): Promise<void> {
  const { sales } = clients;
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
  const snooze = { params: { path: { sku: BY_HAND } }, body: { until: inAnHour, reason: "season is over" } };
  await answered(204, sales.POST("/api/v1/stock/{sku}/snooze", snooze));

  const opening = { params: { path: { sku: PROPOSED } }, body: { delta: 6, reason: "correction" } } as const;
  await answered(201, sales.POST("/api/v1/products/{sku}/adjustments", opening));
  await answered(201, sales.POST("/api/v1/orders", { body: { lines: [{ sku: PROPOSED, quantity: 2 }] } }));
  const query = { sku: PROPOSED, status: "proposed" } as const;
  const proposals = await answered(200, sales.GET("/api/v1/replenishments", { params: { query } }));
  const id = proposals.items[0]?.id;
  assert(id !== undefined, `nothing is proposed at 4 of 5: ${JSON.stringify(proposals)}`);
  await behave({ never_call_back: true, for_next: 1 });
  const path = { id };
  const approved = await answered(200, sales.POST("/api/v1/replenishments/{id}/approve", { params: { path } }));
  assert(approved.status === "open", `the replenishment is ${approved.status}`);
  await waitForRequest(clients, id, "accepted");
  await behave({});
  const body = { reason: "the factory stopped making it" };
  const closed = await answered(200, sales.POST("/api/v1/replenishments/{id}/close", { params: { path }, body }));
  assert(closed.status === "closed_short", `the replenishment is ${closed.status}`);
  await waitForRequest(clients, id, "cancelled");
}

/** Checks that the list contains every replenishment of this run. */
export async function replenishments({ sales }: Clients, ids: string[]): Promise<void> {
  const found = await everything((query) =>
    answered(200, sales.GET("/api/v1/replenishments", { params: { query: { ...query, sku: BY_HAND } } })),
  );
  for (const id of ids) {
    assert(found.some((item) => item.id === id), `replenishment ${id} is in the list`);
  }
}
