// Shopper tasks, from the catalog to a complete order, on good and bad connections.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, until, visit } from "./harness.js";
import { badge, card, fillCart, orderButton, orderShown, shows, WORDS } from "./shop-page.js";
import { adjust, ordersOf, product, replenish } from "./stack.js";

after(closeBrowser);

const words = WORDS.en;

test("an order takes the last units, and the restock appears, without a reload", async (t) => {
  const doughnut = await product(t, { stock: 2 });
  const onlooker = await visit(t);
  await onlooker.goto("/");
  await shows(badge(onlooker, doughnut.sku), "Only 2 left");
  await onlooker.evaluate(() => Object.assign(window, { loadedOnce: true }));

  const shopper = await visit(t);
  await fillCart(shopper, doughnut, 2);
  await orderButton(shopper).click();
  await orderShown(shopper);
  await shows(shopper.locator(".order-stage"), words.complete);

  await shows(badge(onlooker, doughnut.sku), words.soldOut);
  assert.equal(await card(onlooker, doughnut.sku).locator(".button-primary").isDisabled(), true);
  await replenish(doughnut.sku, 30);
  await shows(badge(onlooker, doughnut.sku), "In stock");
  assert.equal(await onlooker.evaluate(() => /** @type {any} */ (window).loadedOnce), true);
});

test("a backorder's page goes from ordered to fulfilled by itself", async (t) => {
  const doughnut = await product(t, { stock: 1, policy: { shortage: "backorder" } });
  const page = await visit(t);
  await fillCart(page, doughnut, 3);
  await orderButton(page).click();
  await orderShown(page);
  await shows(page.locator(".order-stage"), words.waiting);
  await shows(page.locator(".order-filled"), "1 of 3");
  await page.locator('.shop-header a[href="/orders"]').click();
  await shows(page.locator(".own-orders .badge"), words.waiting);
  await page.goBack();

  await adjust(doughnut.sku, 1);
  await shows(page.locator(".order-filled"), "2 of 3");
  await replenish(doughnut.sku, 10);
  await shows(page.locator(".order-stage"), words.complete);
  await shows(page.locator(".order-filled"), "3 of 3");
});

test("a double click makes one order", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t);
  await fillCart(page, doughnut);
  let requests = 0;
  page.on("request", (request) => {
    if (request.method() === "POST") requests += 1;
  });
  await orderButton(page).dblclick();
  await orderShown(page);
  assert.equal(requests, 1);
  assert.equal((await ordersOf(doughnut.sku)).length, 1);
});

test("an order whose answer is lost is asked for again, and counts once", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t, { expected: [/ERR_CONNECTION_RESET/] });
  await fillCart(page, doughnut);
  /** @type {(string | undefined)[]} */
  const keys = [];
  await page.route("**/sales/api/v1/orders", async (route) => {
    keys.push(route.request().headers()["idempotency-key"]);
    if (keys.length > 1) return route.continue();
    // The shop accepts the order, but the response is lost.
    await route.fetch();
    await route.abort("connectionreset");
  });
  const replayed = page.waitForResponse(
    (answer) => answer.request().method() === "POST" && answer.status() === 201,
  );
  await orderButton(page).click();
  const answer = await replayed;
  assert.equal(answer.headers()["idempotency-replayed"], "true");
  const id = await orderShown(page);
  assert.equal(new Set(keys).size, 1);
  assert.deepEqual(
    (await ordersOf(doughnut.sku)).map((order) => order.id),
    [id],
  );
  await shows(page.locator(".cart-count"), /^0/);
});

test("an order survives a reload while its answer is awaited", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t, { expected: [/ERR_CONNECTION_RESET/, /ERR_FAILED/] });
  await fillCart(page, doughnut);
  await page.route("**/sales/api/v1/orders", async (route) => {
    await route.fetch();
    await route.abort("connectionreset");
  });
  await orderButton(page).click();
  await shows(page.locator(".notice"), "No response yet");
  await page.unroute("**/sales/api/v1/orders");
  await page.reload();
  const id = await orderShown(page);
  assert.deepEqual(
    (await ordersOf(doughnut.sku)).map((order) => order.id),
    [id],
  );
});

test("an order placed offline is sent when the network is back", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t, { expected: [/ERR_INTERNET_DISCONNECTED/] });
  await fillCart(page, doughnut);
  await page.context().setOffline(true);
  await shows(page.locator(".status-bar"), "You are offline");
  await orderButton(page).click();
  await shows(page.locator(".notice"), words.offline);
  assert.deepEqual(await ordersOf(doughnut.sku), []);
  await page.context().setOffline(false);
  await orderShown(page);
  assert.equal((await ordersOf(doughnut.sku)).length, 1);
});

test("a shopper who leaves an order that was placed offline is notified when it is taken", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t, { expected: [/ERR_INTERNET_DISCONNECTED/] });
  await fillCart(page, doughnut);
  await page.context().setOffline(true);
  await orderButton(page).click();
  await shows(page.locator(".notice"), words.offline);
  await page.locator(".brand").click();
  await shows(page.locator(".status-bar"), "Your order is waiting for a response.");
  await page.context().setOffline(false);
  await shows(page.locator(".status-bar"), "Your order has been placed.");
  await page.getByRole("link", { name: "View order" }).click();
  await orderShown(page);
  await shows(page.locator(".order-stage"), words.complete);
});

test("without live events the page looks again by itself", async (t) => {
  const doughnut = await product(t, { stock: 2 });
  const page = await visit(t, { expected: [/\/live/] });
  await page.route("**/live*", (route) => route.abort("connectionrefused"));
  await page.goto("/");
  await shows(page.locator(".shop-footer"), "Not live");
  await shows(badge(page, doughnut.sku), "Only 2 left");
  await adjust(doughnut.sku, -2);
  await shows(badge(page, doughnut.sku), words.soldOut);
});

test("a busy shop is asked again when it said so", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t, { expected: [/status of 503/] });
  await fillCart(page, doughnut);
  /** @type {number[]} */
  const times = [];
  await page.route("**/sales/api/v1/orders", (route) => {
    times.push(Date.now());
    if (times.length > 1) return route.continue();
    return route.fulfill({
      status: 503,
      headers: { "Retry-After": "3", "Content-Type": "application/problem+json" },
      body: JSON.stringify({ type: "/problems/overloaded", title: "Overloaded", status: 503 }),
    });
  });
  await orderButton(page).click();
  await shows(page.locator(".notice"), "The shop is very busy");
  await orderShown(page);
  assert.ok(Number(times[1]) - Number(times[0]) >= 2_900, `${times}`);
});

test("stock sold to others in the meantime: take what is left", async (t) => {
  const doughnut = await product(t, { stock: 5 });
  const other = await product(t, { stock: 40 });
  const page = await visit(t, { expected: [/status of 409/] });
  await fillCart(page, other, 2);
  await fillCart(page, doughnut, 5);
  await adjust(doughnut.sku, -3);
  await orderButton(page).click();
  await shows(page.locator(".notice"), words.quicker);
  await shows(page.locator(".short-lines"), "Requested 5, 2 left.");
  await page.getByRole("button", { name: words.takeLeft }).click();
  await orderShown(page);
  await shows(page.locator(`.order-line[data-sku="${doughnut.sku}"] .order-filled`), "2 of 2");
  await shows(page.locator(`.order-line[data-sku="${other.sku}"] .order-filled`), "2 of 2");
  const orders = await ordersOf(doughnut.sku);
  assert.deepEqual(orders.map((order) => order.status).sort(), ["confirmed", "rejected"]);
});

test("stock sold to others in the meantime: no backorder where the policy forbids it", async (t) => {
  const doughnut = await product(t, { stock: 5 });
  const page = await visit(t, { expected: [/status of 409/] });
  await fillCart(page, doughnut, 5);
  await adjust(doughnut.sku, -5);
  await orderButton(page).click();
  await shows(page.locator(".short-lines"), "Requested 5, none left.");
  assert.equal(await page.getByRole("button", { name: words.backorder }).count(), 0);
});

test("stock sold to others in the meantime: order as backorder", async (t) => {
  const doughnut = await product(t, { stock: 5, policy: { shortage: "choice" } });
  const page = await visit(t, { expected: [/status of 409/] });
  await fillCart(page, doughnut, 5);
  await adjust(doughnut.sku, -5);
  await orderButton(page).click();
  await shows(page.locator(".short-lines"), "Requested 5, none left.");
  assert.equal(await page.getByRole("button", { name: words.takeLeft }).count(), 0);
  await page.getByRole("button", { name: words.backorder }).click();
  await orderShown(page);
  await shows(page.locator(".order-stage"), words.waiting);
  await replenish(doughnut.sku, 10);
  await shows(page.locator(".order-stage"), words.complete);
});

test("the whole way by keyboard", async (t) => {
  const doughnut = await product(t, { stock: 10 });
  const page = await visit(t);
  await page.goto("/");
  await card(page, doughnut.sku).waitFor();
  /** Presses Tab until an element with this name has the focus. @param {string} name */
  const tabTo = async (name) => {
    for (let press = 0; press < 80; press += 1) {
      const label = await page.evaluate(() => {
        const focused = document.activeElement;
        return focused?.getAttribute("aria-label") ?? focused?.textContent?.trim() ?? "";
      });
      if (label.startsWith(name)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`the keyboard does not reach ${name}`);
  };
  await tabTo("Skip to content");
  await page.keyboard.press("Enter");
  await tabTo(words.add(doughnut.name));
  await page.keyboard.press("Enter");
  await shows(page.locator(".cart-count"), "1");
  await page.keyboard.press("Home");
  await page.locator(".brand").focus();
  await tabTo(words.cart);
  await page.keyboard.press("Enter");
  await page.locator(".cart-line").waitFor();
  await tabTo(words.order);
  await page.keyboard.press("Enter");
  await orderShown(page);
  const said = () => page.locator('[role="status"].visually-hidden').textContent();
  await until("the order is read aloud", said, (text) => text?.includes("Order confirmed") ?? false);
});

test("the cart outlives the page, and knows what is no longer on sale", async (t) => {
  const doughnut = await product(t, { stock: 40 });
  const page = await visit(t, { expected: [/status of 404/] });
  await fillCart(page, doughnut, 4);
  await page.evaluate(() => {
    const cart = JSON.parse(localStorage.getItem("jaego.shop.cart") ?? "[]");
    localStorage.setItem("jaego.shop.cart", JSON.stringify([...cart, { sku: "A-e2e-gone", quantity: 1 }]));
  });
  await page.reload();
  assert.equal(await page.locator(`.cart-line[data-sku="${doughnut.sku}"] input`).inputValue(), "4");
  await shows(page.locator('.cart-line[data-sku="A-e2e-gone"]'), "No longer available");
});
