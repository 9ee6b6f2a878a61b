// Every page of the console with data on it: accessibility in both languages, on desktop and phone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { goodDay, impatientProduct, loaded, openConsole, order, trouble, WORDS } from "./console-page.js";
import { checkPage, closeBrowser, picture, until, visit } from "./harness.js";
import { FACTORY, operate, product, replenish } from "./stack.js";

/** @type {(() => Promise<void>)[]} */
const ends = [];
const whole = { after: (/** @type {() => Promise<void>} */ end) => void ends.push(end) };
/** @type {{ sku: string, order: string, request: string }} */
let story;

before(async () => {
  const doughnut = await product(whole, {
    stock: 6,
    name: "부산도너츠",
    policy: { mode: "auto", shortage: "backorder" },
  });
  const placed = await order(doughnut.sku, 9);
  const [request] = placed.replenishment_ids;
  // One delivery is too large, and one request is accepted by no factory.
  await trouble(whole, { deliver_extra: 3 });
  await replenish(doughnut.sku, 5);
  await until("something is in quarantine", quarantined, (entries) =>
    entries.some((entry) => entry.sku === doughnut.sku),
  );
  const doomed = await impatientProduct(whole);
  await trouble(whole, { refuse_status: 503 });
  await replenish(doomed.sku, 7);
  await until("there is a dead letter", letters, (items) => items.length > 0);
  await goodDay();
  story = { sku: doughnut.sku, order: placed.id, request };
});

after(async () => {
  for (const end of ends.reverse()) await end();
  await closeBrowser();
});

/** @returns {Promise<{ sku: string }[]>} */
async function quarantined() {
  return (await operate("GET", "/api/v1/quarantine", undefined, "RESTOCK_URL")).items;
}
/** @returns {Promise<unknown[]>} */
async function letters() {
  return (await operate("GET", "/api/v1/dead-letters", undefined, "PRODUCTION_URL")).items;
}

/** @returns {[string, string][]} screenshot name and path */
const pages = () => [
  ["overview", "/"],
  ["products", "/products"],
  ["product", `/products/${story.sku}`],
  ["orders", "/orders"],
  ["replenishments", "/replenishments"],
  ["requests", "/requests"],
  ["request", `/requests/${story.request}`],
  ["factories", "/factories"],
  ["factory", `/factories/${FACTORY}`],
  ["receipts", "/receipts"],
  ["quarantine", "/quarantine"],
  ["dead-letters", "/dead-letters?service=production"],
  ["audit", "/audit"],
  ["audit-log", "/audit-log"],
  ["timeline", `/timeline?order=${story.order}`],
  ["demo", "/demo"],
  ["nowhere", "/nowhere"],
];

for (const language of /** @type {const} */ (["ko", "en"])) {
  for (const device of /** @type {const} */ (["desktop", "phone"])) {
    test(`the pages, ${language}, ${device}`, async (t) => {
      const page = await visit(t, { language, device, expected: [/status of 404/] });
      await page.goto("/console");
      await page.getByLabel(WORDS[language].token).waitFor();
      assert.equal(await page.locator("html").getAttribute("lang"), language);
      await checkPage(page, "the sign-in");
      await openConsole(page, "/", { language });
      for (const [name, path] of pages()) {
        await page.goto(`/console${path}`);
        await loaded(page);
        await checkPage(page, `${name}, ${language}, ${device}`);
        await picture(page, `console-${name}-${language}${device === "phone" ? "-phone" : ""}`);
      }
    });
  }
}

test("the pages in the dark, and the dialogs", async (t) => {
  const page = await visit(t, { language: "en", scheme: "dark" });
  await openConsole(page, `/products/${story.sku}`);
  await loaded(page);
  await checkPage(page, "a product in the dark");
  for (const name of ["Adjust", "Snooze", "Order manually"]) {
    await page.getByRole("button", { name }).click();
    await page.locator('[role="dialog"]').waitFor();
    await checkPage(page, `the dialog of ${name}`);
    await page.keyboard.press("Escape");
    await page.locator('[role="dialog"]').waitFor({ state: "detached" });
    // The focus returns to the button that opened the dialog.
    await page.waitForFunction((label) => document.activeElement?.textContent === label, name);
  }
  await page.goto("/console/");
  await loaded(page);
  await checkPage(page, "the overview in the dark");
  await picture(page, "console-overview-en-dark");
});

test("every page can be reached by the keyboard alone", async (t) => {
  const page = await visit(t);
  await openConsole(page, "/");
  await page.reload();
  await loaded(page);
  await page.keyboard.press("Tab");
  await page.locator(".skip-link:focus").waitFor();
  const links = page.locator(".navigation a");
  await links.nth(2).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Products and stock" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
});
