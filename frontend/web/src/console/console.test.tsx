import { act, cleanup, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { PATIENCE_MS } from "../common/test-support";
import { held, OPERATOR, page, problem, renderConsole, VIEWER } from "./test-support";

afterEach(async () => {
  // A stream that closes refetches its stale queries once more; this must not reach the network either.
  cleanup();
  vi.useRealTimers();
  await new Promise((resolve) => setTimeout(resolve));
  vi.unstubAllGlobals();
});

const at = "2026-11-22T10:00:00Z";
const orders = page([
  {
    id: "01a2051b-cedc-7700-a805-c2579d04fa50",
    status: "backordered",
    customer: "kim",
    lines: [{ sku: "CP-502101", quantity: 5, filled: 3, unit_price: { amount: 19_900, currency: "KRW" } }],
    total: { amount: 99_500, currency: "KRW" },
    replenishment_ids: [],
    created_at: at,
  },
]);
const policy = { reorder_point: 5, order_up_to: 20, lot_size: 8, mode: "auto", shortage: "reject" };
const stock = {
  sku: "CP-502101",
  name: "부산도너츠",
  price: { amount: 19_900, currency: "KRW" },
  factory_id: "FF-500293",
  on_sale: true,
  max_per_order: null,
  on_hand: 3,
  backordered: 0,
  on_order: 0,
  position: 3,
  available: 3,
  policy,
  updated_at: at,
};
const product = {
  "GET /sales/api/v1/stock/CP-502101": () => Response.json(stock, { headers: { ETag: '"4"' } }),
  "GET /sales/api/v1/stock/CP-502101/replenishment-decision": () => ({
    sku: stock.sku,
    inputs: { on_hand: 3, on_order: 0, backordered: 0, position: 3, policy, paused_until: null },
    formula: "f",
    quantity: 24,
    answer: "order",
    explanation: "e",
  }),
};

it("asks for a token, says when it is wrong, and forgets what was typed", async () => {
  let operator: typeof OPERATOR | null = null;
  const drawn = renderConsole("/orders", null, {
    // Requested again once the event stream is open: the session must persist.
    "GET /session": () => ({ operator }),
    "POST /session": ({ body }) => {
      if ((body as { token: string }).token !== "right") return problem(401, "unauthorized", "No.");
      operator = OPERATOR;
      return { operator };
    },
    "GET /sales/api/v1/orders": () => orders,
  });
  const field = (await screen.findByLabelText(/Operator token/)) as HTMLInputElement;
  fireEvent.change(field, { target: { value: "wrong" } });
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  expect((await screen.findByRole("alert")).textContent).toContain("Unknown token");
  expect(field.value).toBe("");
  fireEvent.change(field, { target: { value: " right\n" } });
  fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
  // The requested page is shown, not the first one.
  expect(await screen.findByRole("heading", { name: "Orders" })).toBeTruthy();
  expect(drawn.of("POST", "/session").map((asked) => asked.body)).toEqual([
    { token: "wrong" },
    { token: "right" },
  ]);
  expect(JSON.stringify({ ...localStorage })).not.toContain("right");
});

it("shows a viewer no button that it may not use", async () => {
  renderConsole("/orders", VIEWER, { "GET /sales/api/v1/orders": () => orders });
  await screen.findByText("3 of 5");
  expect(screen.queryByRole("button", { name: /Cancel order/ })).toBeNull();
  expect(screen.getByText("viewer (read-only)")).toBeTruthy();
});

it("asks before it cancels an order and says what will happen", async () => {
  const path = "POST /sales/api/v1/orders/01a2051b-cedc-7700-a805-c2579d04fa50/cancel";
  const drawn = renderConsole("/orders", OPERATOR, {
    "GET /sales/api/v1/orders": () => orders,
    [path]: () => problem(409, "conflict", "The order was refused, so there is nothing to cancel."),
  });
  fireEvent.click(await screen.findByRole("button", { name: /Cancel order/ }));
  const dialog = await screen.findByRole("alertdialog");
  expect(dialog.textContent).toContain("3 units return to stock");
  expect(dialog.textContent).toContain("2 backordered units are cancelled");
  expect(drawn.of("POST", "/cancel")).toHaveLength(0);
  fireEvent.click(within(dialog).getByRole("button", { name: "Cancel order" }));
  const alert = await within(dialog).findByRole("alert");
  expect(alert.textContent).toContain("there is nothing to cancel");
  expect(alert.textContent).toContain("948201e16e0450bf03af103fe5fca74b");
});

it("keeps a dialog open whose row has left the list, until it is closed", async () => {
  let isGone = false;
  renderConsole("/orders", OPERATOR, {
    "GET /sales/api/v1/orders": () => (isGone ? page([]) : orders),
    "POST /sales/api/v1/orders/01a2051b-cedc-7700-a805-c2579d04fa50/cancel": () => {
      isGone = true;
      return problem(409, "conflict", "Somebody else was quicker.");
    },
  });
  fireEvent.click(await screen.findByRole("button", { name: /Cancel order/ }));
  const dialog = await screen.findByRole("alertdialog");
  fireEvent.click(within(dialog).getByRole("button", { name: "Cancel order" }));
  // The refusal is shown once the list has been read again.
  expect((await within(dialog).findByRole("alert")).textContent).toContain("Somebody else was quicker");
  // Queries publish their results by a timer; after it, a list that does not hold would render without the row.
  await act(() => new Promise<void>((resolve) => setTimeout(resolve)));
  expect(dialog.isConnected).toBe(true);
  fireEvent.click(within(dialog).getByRole("button", { name: "Cancel" }));
  await waitFor(() => expect(screen.queryByText("3 of 5")).toBeNull());
  expect(screen.queryByRole("alertdialog")).toBeNull();
});

it("shows what a slow list answers though events do not end", async () => {
  vi.useFakeTimers();
  const [order] = orders.items as [object];
  let asked = 0;
  const slow = held(page([{ ...order, customer: "park" }]));
  const drawn = renderConsole("/orders", VIEWER, {
    "GET /sales/api/v1/orders": () => {
      asked += 1;
      return asked === 1 ? orders : slow.answer;
    },
  });
  const say = () => drawn.say("order.confirmed", { count: 1, orders: [] });
  const patience = { timeout: PATIENCE_MS };
  await vi.waitFor(() => screen.getByText("3 of 5"), patience);
  for (let passedMs = 0; passedMs < 5_000; passedMs += 100) {
    say();
    await act(() => vi.advanceTimersByTimeAsync(100));
  }
  // The request in flight has not been cancelled.
  expect(asked).toBe(2);
  slow.release();
  await vi.waitFor(() => {
    say();
    screen.getByText("park");
  }, patience);
});

it("does not name the oldest when more wait than one page shows", async () => {
  const waiting = page(
    Array.from({ length: 200 }, () => ({ created_at: at, updated_at: at })),
    "next",
  );
  renderConsole("/", VIEWER, {
    "GET /production/api/v1/production-requests": ({ url }) =>
      url.searchParams.get("status") === "requested" ? waiting : page([]),
  });
  expect(await screen.findAllByText("200+ waiting")).not.toHaveLength(0);
  expect(screen.queryByText("nothing waiting")).toBeNull();
});

it("keeps filters in the address and begins again at the first page", async () => {
  const drawn = renderConsole("/orders?cursor=abc&sku=CP-502101", VIEWER, {
    "GET /sales/api/v1/orders": () => orders,
  });
  await screen.findByText("3 of 5");
  expect(Object.fromEntries(drawn.of("GET", "/orders")[0]?.url.searchParams ?? [])).toMatchObject({
    cursor: "abc",
    sku: "CP-502101",
  });
  fireEvent.change(screen.getByLabelText("Status"), { target: { value: "backordered" } });
  await waitFor(() =>
    expect(drawn.router.state.location.search).toEqual({ sku: "CP-502101", status: "backordered" }),
  );
});

it("explains a policy while it is typed, and saves it for the version that was seen", async () => {
  const drawn = renderConsole("/products/CP-502101", OPERATOR, {
    ...product,
    "PUT /sales/api/v1/products/CP-502101": () => Response.json(stock, { headers: { ETag: '"5"' } }),
  });
  const level = await screen.findByLabelText(/Order-up-to level/);
  const preview = screen.getByText("Current effect of these values").parentElement as HTMLElement;
  expect(preview.textContent).toContain("order 24 (3 × 8) to reach at least 20");
  fireEvent.change(level, { target: { value: "5" } });
  expect(preview.textContent).toContain("Correct the marked fields first");
  fireEvent.change(level, { target: { value: "40" } });
  expect(preview.textContent).toContain("order 40 (5 × 8) to reach at least 40");
  fireEvent.click(screen.getByRole("button", { name: "Save policy" }));
  fireEvent.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Save policy" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  const [put] = drawn.of("PUT", "/CP-502101");
  expect(put?.headers.get("If-Match")).toBe('"4"');
  expect(put?.body).toMatchObject({
    name: "부산도너츠",
    factory_id: "FF-500293",
    policy: { order_up_to: 40, lot_size: 8 },
  });
});

it("sets what one order may have of a product, and leaves it to the shop when that is emptied", async () => {
  const limited = { ...stock, max_per_order: 20 };
  const drawn = renderConsole("/products/CP-502101", OPERATOR, {
    ...product,
    "GET /sales/api/v1/stock/CP-502101": () => Response.json(limited, { headers: { ETag: '"4"' } }),
    "PUT /sales/api/v1/products/CP-502101": () => Response.json(limited, { headers: { ETag: '"5"' } }),
  });
  const field = (await screen.findByLabelText(/Limit per order/)) as HTMLInputElement;
  expect(field.value).toBe("20");
  const button = () => screen.getByRole("button", { name: "Save policy" });
  fireEvent.change(field, { target: { value: "0" } });
  expect(button().hasAttribute("disabled")).toBe(true);
  for (const [typed, sent] of [
    ["35", 35],
    ["", null],
  ] as const) {
    fireEvent.change(field, { target: { value: typed } });
    fireEvent.click(button());
    fireEvent.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Save policy" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(drawn.of("PUT", "/CP-502101").at(-1)?.body).toMatchObject({ max_per_order: sent });
  }
});

it("sends an adjustment again with the same key until an answer has come whole", async () => {
  const answers = [
    held<unknown>(new TypeError("no network")),
    held<unknown>(new Response('{"seq', { status: 201, headers: { "Content-Type": "application/json" } })),
    held<unknown>({}),
  ] as const;
  let asked = 0;
  const drawn = renderConsole("/products/CP-502101", OPERATOR, {
    ...product,
    "POST /sales/api/v1/products/CP-502101/adjustments": () => answers[asked++]?.answer,
  });
  fireEvent.click(await screen.findByRole("button", { name: "Adjust" }));
  const dialog = await screen.findByRole("dialog");
  fireEvent.change(within(dialog).getByLabelText(/Change \(units\)/), { target: { value: "-4" } });
  expect(dialog.textContent).toContain("cannot be negative");
  fireEvent.change(within(dialog).getByLabelText(/Change \(units\)/), { target: { value: "-3" } });
  expect(dialog.textContent).toContain("from 3 to 0");
  for (const answer of answers) {
    fireEvent.click(within(dialog).getByRole("button", { name: "Adjust" }));
    // The previous attempt's alert disappears when the next one begins, so the alert found below is this attempt's.
    await waitFor(() => expect(within(dialog).queryByRole("alert")).toBeNull());
    answer.release();
    if (answer !== answers[2]) await within(dialog).findByRole("alert");
  }
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  const keys = drawn.of("POST", "/adjustments").map((asked) => asked.headers.get("Idempotency-Key"));
  expect(keys).toHaveLength(3);
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(new Set(keys).size).toBe(1);
});

it("follows a redrive until its true outcome is known", async () => {
  const job = { id: "j1", actor: "kim", rate_per_s: 50, created_at: at, total: 3, sent: 1, discarded: 0 };
  // The page polls every second: the later response is held until the test has seen the earlier one.
  const outcome = held({ ...job, pending: 0, processed: 2, failed_again: 1, done: true });
  let asked = 0;
  const drawn = renderConsole("/dead-letters", OPERATOR, {
    "GET /production/api/v1/dead-letters/groups": () =>
      page([
        {
          group: "5f2b6d1c9a3e4f70",
          queue: "production.requests",
          reason: "factory-unreachable",
          cause: "the factory answered <n>",
          count: 3,
          redriving: 0,
          http_status: 503,
          factory_id: "FF-500293",
          newest: { id: "0193b5a0-7b1e-7c52-9d43-2f6b1f0a9c11", error: "the factory answered 503" },
          first_failed_at: at,
          last_failed_at: at,
        },
      ]),
    "POST /production/api/v1/dead-letters/redrive": () =>
      Response.json({ ...job, pending: 3, processed: 0, failed_again: 0, done: false }, { status: 202 }),
    "GET /production/api/v1/dead-letters/redrives/j1": () => {
      asked += 1;
      return asked < 2 ? { ...job, pending: 2, processed: 1, failed_again: 0, done: false } : outcome.answer;
    },
  });
  expect((await screen.findByText("the factory answered 503")).parentElement?.textContent).toContain(
    "(FF-500293)",
  );
  fireEvent.click(await screen.findByRole("button", { name: "Redrive: 3 messages to production.requests" }));
  fireEvent.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Redrive" }));
  await screen.findByText("In progress");
  outcome.release();
  await waitFor(() =>
    expect(screen.getAllByText("Some messages were not processed").length).toBeGreaterThan(0),
  );
  expect(drawn.of("POST", "/redrive")[0]?.body).toEqual({ group: "5f2b6d1c9a3e4f70", rate_per_s: 50 });
  expect(drawn.router.state.location.search).toMatchObject({ service: "production", job: "j1" });
});

it("shows a word that it does not know as it came", async () => {
  const [order] = orders.items as [object];
  renderConsole("/orders", VIEWER, {
    "GET /sales/api/v1/orders": () => page([{ ...order, status: "split" }]),
  });
  expect(await screen.findByText("split")).toBeTruthy();
});

it("notices when the session has ended", async () => {
  let signedIn = true;
  renderConsole("/orders", OPERATOR, {
    "GET /session": () => ({ operator: signedIn ? OPERATOR : null }),
    "GET /sales/api/v1/orders": () => {
      signedIn = false;
      return problem(401, "unauthorized", "Not signed in.");
    },
  });
  expect(await screen.findByLabelText(/Operator token/)).toBeTruthy();
});
