// Helpers for the console: signing in, page labels, faults at the factory.
import { randomBytes } from "node:crypto";
import { until } from "./harness.js";
import { FACTORY, operate, product, variable } from "./stack.js";

/** @typedef {import("playwright-core").Page} Page */

/** Labels that the tests look for. */
export const WORDS = {
  en: { token: "Operator token", signIn: "Sign in", overview: "Overview" },
  ko: { token: "운영자 토큰", signIn: "로그인", overview: "개요" },
};

/**
 * Signs in on the current page.
 * @param {Page} page
 * @param {{ language?: "ko" | "en", token?: string }} [wish]
 */
export async function enterToken(page, { language = "en", token = variable("OPERATOR_TOKEN") } = {}) {
  const words = WORDS[language];
  await page.getByLabel(words.token).fill(token);
  await page.getByRole("button", { name: words.signIn }).click();
}

/**
 * Opens a page of the console, signed in with this token.
 * @param {Page} page
 * @param {string} path
 * @param {{ language?: "ko" | "en", token?: string }} [wish]
 */
export async function openConsole(page, path, wish) {
  await page.goto(`/console${path}`);
  await enterToken(page, wish);
  await page.locator(".navigation").waitFor();
}

/** Waits until all data of the page has loaded. @param {Page} page */
export async function loaded(page) {
  await page.locator("main h1").waitFor();
  await until(
    "the page has all its data",
    () => page.locator(".skeleton, [aria-busy='true']").count(),
    (count) => count === 0,
  );
}

/** The value of a labelled figure of the page. @param {Page} page @param {string} name */
export function fact(page, name) {
  return page
    .locator(".facts > div")
    .filter({ has: page.getByText(name, { exact: true }) })
    .locator("dd");
}

/** Waits for the open dialog and returns it. @param {Page} page */
export async function dialog(page) {
  const box = page.locator('[role="dialog"], [role="alertdialog"]');
  await box.waitFor();
  return box;
}

/**
 * A factory used by this test only (same simulator, another id) with a short retry schedule, and a product it makes.
 * @param {{ after(end: () => Promise<void>): void }} test
 * @param {{ stock?: number, policy?: object }} [wish]
 */
export async function impatientProduct(test, wish) {
  const factory = `FF-e2e-${randomBytes(4).toString("hex")}`;
  const { base_url } = await operate("GET", `/api/v1/factories/${FACTORY}`, undefined, "PRODUCTION_URL");
  const settings = {
    name: `시험 공장 ${factory.slice(-4)}`,
    base_url,
    retry_schedule: [0.1, 0.1],
    lead_time_s: 60,
  };
  await operate("PUT", `/api/v1/factories/${factory}`, settings, "PRODUCTION_URL");
  const made = await product(test, wish);
  const known = await operate("GET", `/api/v1/stock/${made.sku}`);
  const { name, price, on_sale, max_per_order, policy } = known;
  await operate("PUT", `/api/v1/products/${made.sku}`, {
    name,
    price,
    on_sale,
    max_per_order,
    policy,
    factory_id: factory,
  });
  return { ...made, factory };
}

/**
 * Injects faults at the simulated factory until the test ends.
 * @param {{ after(end: () => Promise<void>): void }} test
 * @param {object} faults
 */
export async function trouble(test, faults) {
  test.after(goodDay);
  const answer = await fetch(`${variable("FACTORY_URL")}/sim/faults`, {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(faults),
  });
  if (!answer.ok) throw new Error(`the simulator answers ${answer.status} ${await answer.text()}`);
}

/** Ends all faults. */
export async function goodDay() {
  await fetch(`${variable("FACTORY_URL")}/sim/faults`, { method: "DELETE" });
}

/** Places an order as a shopper does; it must be accepted. @param {string} sku @param {number} quantity */
export async function order(sku, quantity) {
  return await operate("POST", "/api/v1/orders", { lines: [{ sku, quantity }] });
}

/** Units on hand. @param {string} sku @returns {Promise<number>} */
export async function onHand(sku) {
  return (await operate("GET", `/api/v1/stock/${sku}`)).on_hand;
}
