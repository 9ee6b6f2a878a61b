// Operator tasks in the console, from the sign-in to recovering from a failed factory.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  dialog,
  enterToken,
  fact,
  goodDay,
  impatientProduct,
  loaded,
  onHand,
  openConsole,
  order,
  trouble,
} from "./console-page.js";
import { closeBrowser, picture, until, visit } from "./harness.js";
import { adjust, ordersOf, product, replenish, variable } from "./stack.js";

after(closeBrowser);

test("a wrong token is refused, and the right one leads to the page that was asked for, and no script can read it", async (t) => {
  const page = await visit(t, { expected: [/status of 401/] });
  await page.goto("/console/orders?status=rejected");
  await enterToken(page, { token: "operator-wrong" });
  await page.getByRole("alert").getByText("Unknown token").waitFor();
  assert.equal(await page.getByLabel("Operator token").inputValue(), "");
  await enterToken(page);
  await page.getByRole("heading", { level: 1, name: "Orders" }).waitFor();
  assert.equal(await page.getByLabel("Status").inputValue(), "rejected");
  const kept = await page.evaluate(() =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
  );
  assert.ok(!kept.includes(variable("OPERATOR_TOKEN")));
  assert.ok(!kept.includes("jaego-session"), "the session is for the server alone");
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "Orders" }).waitFor();
  await loaded(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Operator token").waitFor();
  await page.reload();
  await page.getByLabel("Operator token").waitFor();
});

test("a viewer sees everything and no button that it may not use", async (t) => {
  const doughnut = await product(t, { stock: 5 });
  const page = await visit(t);
  await openConsole(page, `/products/${doughnut.sku}`, { token: variable("VIEWER_TOKEN") });
  await loaded(page);
  await page.getByText("viewer (read-only)").waitFor();
  assert.equal(await fact(page, "On hand").textContent(), "5");
  for (const name of ["Adjust", "Snooze", "Order manually", "Save policy"]) {
    assert.equal(await page.getByRole("button", { name }).count(), 0, name);
  }
  assert.equal(await page.getByLabel("Order-up-to level").isDisabled(), true);
  for (const path of ["/orders", "/replenishments", "/quarantine", "/dead-letters", "/factories"]) {
    await page.goto(`/console${path}`);
    await loaded(page);
    const buttons = await page.locator("main .table button").allTextContents();
    assert.deepEqual(buttons, [], path);
  }
});

test("a policy explains itself as it is typed, is saved, and orders what it said", async (t) => {
  const doughnut = await product(t, { stock: 4 });
  const page = await visit(t);
  await openConsole(page, `/products/${doughnut.sku}`);
  await loaded(page);
  const preview = page.locator(".preview");
  await page.getByLabel("Reorder point").fill("6");
  await page.getByLabel("Order-up-to level").fill("20");
  await page.getByLabel("Lot size").fill("8");
  await preview.getByText("order 16 (2 × 8) to reach at least 20").waitFor();
  await preview.getByText("The mode is off").waitFor();
  await page.getByLabel("Order-up-to level").fill("6");
  await page.getByText("Must be above the reorder point.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Save policy" }).isDisabled(), true);
  await page.getByLabel("Order-up-to level").fill("20");
  // Raise stock above the reorder point before the mode is switched on: the periodic check of all products would
  // order as well.
  await adjust(doughnut.sku, 3);
  await preview.getByText("above the reorder point 6, so nothing is ordered").waitFor();
  await page.getByRole("button", { name: /Mode/ }).click();
  await page.getByRole("option", { name: "automatic" }).click();
  await page.getByRole("button", { name: "Save policy" }).click();
  await (await dialog(page)).getByRole("button", { name: "Save policy" }).click();
  await page.getByText("Policy saved.").waitFor();
  // The next order reaches the reorder point: the policy orders, and the page shows the goods without a reload.
  await order(doughnut.sku, 1);
  await until(
    "2 lots have come",
    () => onHand(doughnut.sku),
    (units) => units === 22,
  );
  await until(
    "the page shows them",
    () => fact(page, "On hand").textContent(),
    (text) => text === "22",
  );
});

test("stock is adjusted with a word of what it does, and the ledger and the counters follow by themselves", async (t) => {
  const doughnut = await product(t, { stock: 4 });
  const page = await visit(t);
  await openConsole(page, `/products/${doughnut.sku}`);
  await loaded(page);
  await page.getByRole("button", { name: "Adjust" }).click();
  const box = await dialog(page);
  await box.getByLabel("Change (units)").fill("-5");
  await box.getByText("It cannot be negative").waitFor();
  await box.getByLabel("Change (units)").fill("-3");
  await box.getByText("On hand changes from 4 to 1.").waitFor();
  await box.getByLabel("Note").fill("browser test: broken");
  await box.getByRole("button", { name: "Adjust" }).click();
  await page.getByText("browser test: broken").waitFor();
  await adjust(doughnut.sku, 9);
  await until(
    "the counter follows",
    () => fact(page, "On hand").textContent(),
    (text) => text === "10",
  );
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download ledger as CSV" }).click();
  assert.equal((await download).suggestedFilename(), `ledger-${doughnut.sku}.csv`);
});

test("a failing factory makes a dead letter, which is found, cured and sent back in the console", async (t) => {
  const doughnut = await impatientProduct(t);
  const page = await visit(t);
  await openConsole(page, "/demo");
  t.after(goodDay);
  await page.getByRole("button", { name: "Fail", exact: true }).click();
  await page.getByText("faults active", { exact: true }).waitFor();
  await picture(page, "recovery-1-fault");
  await replenish(doughnut.sku, 12);

  await page.locator(".navigation").getByRole("link", { name: "Overview" }).click();
  const needed = page.locator(".attention-needed").filter({ hasText: "Dead letters (production)" });
  await needed.waitFor();
  await needed.getByRole("link").click();
  await page.getByRole("heading", { name: "Groups (production)" }).waitFor();
  // Dead letters of other factories form separate groups.
  const group = page.locator("tr").filter({ hasText: doughnut.factory });
  await group.getByRole("link", { name: /show the messages? of production.requests/ }).click();
  const message = page.getByRole("button", { name: /^Open: message/ }).first();
  await message.waitFor();
  await picture(page, "recovery-2-dead-letter");
  await message.click();
  const letter = await dialog(page);
  await letter.getByText("jaego.production.requested.v1").first().waitFor();
  await letter.getByText("traceparent").first().waitFor();
  await letter.getByRole("button", { name: "Close" }).click();

  await page.locator(".navigation").getByRole("link", { name: "Demo controls" }).click();
  await page.getByRole("button", { name: "End faults" }).click();
  await page.getByText("working normally", { exact: true }).waitFor();
  await page.locator(".navigation").getByRole("link", { name: "Dead letters" }).click();
  await group.getByRole("button", { name: /^Redrive: .* to production.requests$/ }).click();
  await (await dialog(page)).getByRole("button", { name: "Redrive" }).click();
  await page.locator(".job").getByText("All messages were processed").waitFor();
  await picture(page, "recovery-3-redriven");
  await until(
    "the goods have come",
    () => onHand(doughnut.sku),
    (units) => units === 12,
  );
});

test("a delivery of too many is kept, accepted with a reason, and is in stock then", async (t) => {
  const doughnut = await product(t);
  await trouble(t, { deliver_extra: 5 });
  await replenish(doughnut.sku, 10);
  const page = await visit(t);
  await openConsole(page, "/quarantine");
  const row = page.locator("tr").filter({ hasText: doughnut.sku });
  await row.getByText("over-delivery").waitFor();
  await row.getByRole("button", { name: /^Accept/ }).click();
  const box = await dialog(page);
  assert.equal(await box.getByLabel("Quantity").inputValue(), "5");
  assert.equal(await box.getByRole("button", { name: "Accept" }).isDisabled(), true, "a reason is needed");
  await box.getByLabel("Reason").fill("counted in the truck");
  await box.getByRole("button", { name: "Accept" }).click();
  await row.waitFor({ state: "detached" });
  await until(
    "all 15 are in stock",
    () => onHand(doughnut.sku),
    (units) => units === 15,
  );
});

test("one timeline shows everything from the click to the goods in stock", async (t) => {
  const doughnut = await product(t, { stock: 2, policy: { mode: "auto", order_up_to: 10, lot_size: 10 } });
  await order(doughnut.sku, 2);
  const page = await visit(t);
  await openConsole(page, `/orders?sku=${doughnut.sku}`);
  await page.getByRole("link", { name: /^Timeline of/ }).click();
  const steps = page.locator(".steps");
  for (const words of [
    "order confirmed",
    "replenishment ordered",
    "factory called",
    "factory accepted",
    "goods received",
    "added to stock",
    "replenishment complete",
  ]) {
    await steps.getByText(words, { exact: true }).first().waitFor();
  }
  await page.getByText("No further steps are expected.").waitFor();
});

test("a surge is counted by its answers", async (t) => {
  const doughnut = await product(t, { stock: 20 });
  const page = await visit(t, { expected: [/status of 409/] });
  await openConsole(page, "/demo");
  await loaded(page);
  const form = page.locator("form").filter({ has: page.getByRole("button", { name: "Start surge" }) });
  await form.getByLabel("SKU").selectOption(doughnut.sku);
  await form.getByLabel("Orders").fill("30");
  await form.getByRole("button", { name: "Start surge" }).click();
  await form.getByText("Surge complete: 30 responses.").waitFor();
  assert.equal(await fact(page, "Confirmed").textContent(), "20");
  assert.equal(await fact(page, "Rejected").textContent(), "10");
  assert.equal((await ordersOf(doughnut.sku)).length, 30);
});

test("an order is cancelled after a question, and its list is found again by its address", async (t) => {
  const doughnut = await product(t, { stock: 5 });
  await order(doughnut.sku, 4);
  const page = await visit(t);
  await openConsole(page, "/orders");
  await page.getByLabel("SKU", { exact: true }).fill(doughnut.sku);
  await page.getByLabel("SKU", { exact: true }).press("Enter");
  await page.waitForURL(/sku=/);
  await page.getByRole("button", { name: /^Cancel order/ }).click();
  const box = await dialog(page);
  await box.getByText("4 units return to stock").waitFor();
  await box.getByRole("button", { name: "Cancel order" }).click();
  await page.locator("tbody .badge").getByText("cancelled").waitFor();
  assert.equal(await onHand(doughnut.sku), 5);
  await page.reload();
  assert.equal(await page.getByLabel("SKU", { exact: true }).inputValue(), doughnut.sku);
});
