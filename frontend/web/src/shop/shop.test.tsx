import { QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, RouterProvider } from "@tanstack/react-router";
import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { chooseLanguage, startI18n } from "../common/i18n";
import { makeQueryClient } from "../common/query";
import { clearToasts } from "../common/ui/Toast";
import { keptCart } from "./cart/cart";
import { checkout, keptAttempt } from "./checkout/checkout";
import en from "./i18n/en.json";
import ko from "./i18n/ko.json";
import { keptOrders } from "./orders/own-orders";
import { makeRouter } from "./router";

const price = { amount: 19_900, currency: "KRW" };
const later = new Date(Date.now() + 600_000).toISOString();
const PRODUCTS = [
  { sku: "A", name: "Apple ring", price, available: 40, status: "in_stock", restock_eta: null },
  { sku: "B", name: "Berry ring", price, available: 3, status: "low", restock_eta: null },
  { sku: "C", name: "Cocoa ring", price, available: 0, status: "sold_out", restock_eta: later },
  { sku: "D", name: "Date ring", price, available: 0, status: "sold_out", restock_eta: null },
  { sku: "E", name: "Earl grey ring", price, available: 0, status: "backorder", restock_eta: later },
];

/** The server's response to an order, set by each test. */
let onOrder: (body: unknown) => Response;

function json(status: number, body: unknown) {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
}

async function server(request: Request): Promise<Response> {
  const path = new URL(request.url, "http://shop").pathname;
  if (request.method === "POST") return onOrder(await request.json());
  if (path === "/sales/api/v1/products") return json(200, { items: PRODUCTS, next_cursor: null });
  const product = PRODUCTS.find(({ sku }) => path.endsWith(`/products/${sku}`));
  if (product) return json(200, product);
  if (path.includes("/orders/")) return json(200, order("backordered", 1));
  return json(404, { type: "/problems/not-found", title: "Not found", status: 404 });
}

function order(status: string, filled: number) {
  const lines = [{ sku: "A", quantity: 2, filled, unit_price: price, restock_eta: later }];
  const total = { ...price, amount: 39_800 };
  return { id: "o-1", status, customer: null, lines, total, replenishment_ids: [], created_at: later };
}

function show(path: string) {
  const router = makeRouter(createMemoryHistory({ initialEntries: [path] }));
  render(
    <QueryClientProvider client={makeQueryClient()}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
}

class NoEvents extends EventTarget {
  readyState = 0;
  close() {}
}

beforeEach(() => {
  startI18n({ namespace: "shop", ko, en });
  chooseLanguage("en");
  vi.stubGlobal("fetch", server);
  vi.stubGlobal("EventSource", NoEvents);
  vi.stubGlobal("scrollTo", () => {});
  keptCart.set([]);
  keptAttempt.set(null);
  keptOrders.set([]);
  checkout.leave();
  clearToasts();
});
afterEach(() => {
  // Pages that are still mounted would access the network.
  cleanup();
  vi.unstubAllGlobals();
});

function press(name: string | RegExp) {
  fireEvent.click(screen.getByRole("button", { name }));
}

describe("the catalog", () => {
  it("shows each product's stock, and disables Add for what is sold out", async () => {
    show("/");
    await screen.findByText("Apple ring");
    const card = (name: string) => within(screen.getByText(name).closest("li") as HTMLElement);
    expect(card("Apple ring").getByText("In stock")).toBeTruthy();
    expect(card("Berry ring").getByText("Only 3 left")).toBeTruthy();
    expect(card("Cocoa ring").getByText(/^Back around \d\d:\d\d|Back around .+ \d\d:\d\d/)).toBeTruthy();
    expect(card("Date ring").getByText("Sold out")).toBeTruthy();
    expect(card("Earl grey ring").getByText("Backorder")).toBeTruthy();
    const isDisabled = (name: string) =>
      card(name).getByRole("button", { name: /^Add / }).hasAttribute("disabled");
    expect(PRODUCTS.map(({ name }) => isDisabled(name))).toEqual([false, false, true, true, false]);
  });

  it("adds products to the cart, and switches to the chosen language", async () => {
    show("/");
    await screen.findByText("Apple ring");
    press("Add Apple ring to the cart");
    press("Add Apple ring to the cart");
    expect(keptCart.get()).toEqual([{ sku: "A", quantity: 2 }]);
    chooseLanguage("ko");
    expect(await screen.findByRole("heading", { level: 1, name: "도너츠" })).toBeTruthy();
    expect(screen.getAllByText("19,900원")).toHaveLength(PRODUCTS.length);
  });
});

describe("the limit per order", () => {
  const SMALL = {
    sku: "S",
    name: "Small batch ring",
    price,
    available: 40,
    status: "in_stock",
    restock_eta: null,
  };

  beforeEach(() => {
    const product = { ...SMALL, max_per_order: 3, shortage: "reject" };
    vi.stubGlobal("fetch", async (request: Request) => {
      const path = new URL(request.url, "http://shop").pathname;
      if (path === "/sales/api/v1/products") return json(200, { items: [product], next_cursor: null });
      return path.endsWith("/products/S") ? json(200, product) : server(request);
    });
  });

  it("is not exceeded by pressing Add again, and the shopper sees why", async () => {
    show("/");
    await screen.findByText("Small batch ring");
    for (let pressed = 0; pressed < 4; pressed++) press("Add Small batch ring to the cart");
    expect(keptCart.get()).toEqual([{ sku: "S", quantity: 3 }]);
    expect(await screen.findByText("Limit 3 per order")).toBeTruthy();
  });

  it("blocks a cart that exceeds it until the quantity is reduced", async () => {
    keptCart.set([{ sku: "S", quantity: 5 }]);
    show("/cart");
    expect(await screen.findByText("Limit 3 per order")).toBeTruthy();
    const isDisabled = () => screen.getByRole("button", { name: "Place order" }).hasAttribute("disabled");
    expect(isDisabled()).toBe(true);
    fireEvent.click(screen.getByRole("button", { name: "Decrease: Quantity of Small batch ring" }));
    await waitFor(() => expect(isDisabled()).toBe(false));
    expect(keptCart.get()).toEqual([{ sku: "S", quantity: 3 }]);
    expect(screen.queryByText("Limit 3 per order")).toBeNull();
  });
});

describe("ordering", () => {
  it("shows the order once it has been placed", async () => {
    keptCart.set([{ sku: "A", quantity: 2 }]);
    onOrder = () => json(202, order("backordered", 1));
    show("/cart");
    await screen.findByText("₩39,800", { selector: "strong" });
    press("Place order");
    await screen.findByText("Ordered, waiting for stock");
    expect(screen.getByText("1 of 2")).toBeTruthy();
    expect(keptCart.get()).toEqual([]);
    expect(keptOrders.get()).toHaveLength(1);
  });

  it("shows what is left when stock has run short, and orders exactly that with one click", async () => {
    keptCart.set([
      { sku: "A", quantity: 2 },
      { sku: "B", quantity: 5 },
    ]);
    const bodies: unknown[] = [];
    const lines = [{ sku: "B", requested: 5, available: 3, restock_eta: null }];
    onOrder = (body) => {
      bodies.push(body);
      return bodies.length === 1
        ? json(409, {
            type: "/problems/out-of-stock",
            title: "Out of stock",
            status: 409,
            order_id: "x",
            lines,
          })
        : json(201, order("confirmed", 2));
    };
    show("/cart");
    await screen.findByRole("button", { name: "Place order" });
    press("Place order");
    await screen.findByText("Not enough stock");
    expect(screen.getByText(/Requested 5, 3 left\. No restock is scheduled yet\./)).toBeTruthy();
    press("Order what is left");
    await waitFor(() => expect(bodies).toHaveLength(2));
    expect(bodies[1]).toEqual({
      lines: [
        { sku: "A", quantity: 2 },
        { sku: "B", quantity: 3 },
      ],
    });
  });

  it("says why an order was refused, in the shopper's words", async () => {
    chooseLanguage("ko");
    keptCart.set([{ sku: "A", quantity: 2 }]);
    const detail = "There is no product A.";
    onOrder = () =>
      json(422, { type: "/problems/unknown-product", title: "Unknown product", status: 422, detail });
    show("/cart");
    await screen.findByRole("button", { name: "주문하기" });
    press("주문하기");
    expect(await screen.findByText("없는 상품입니다")).toBeTruthy();
    expect(screen.queryByText(detail)).toBeNull();
    expect(keptCart.get()).toHaveLength(1);
  });
});
