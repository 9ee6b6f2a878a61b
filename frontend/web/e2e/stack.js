// The stack under test through the operators' API: products created for one test, their stock and orders.
import { randomBytes } from "node:crypto";

/** @param {string} name */
export function variable(name) {
  const value = process.env[name];
  if (!value)
    throw new Error(
      `${name} is not set: start a stack with \`cargo xtask up\`, then \`source target/dev/env\``,
    );
  return value.replace(/\/$/, "");
}

/** The demo factory, which every local stack has. */
export const FACTORY = "FF-500293";

/**
 * Makes an API call that must succeed.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {"SALES_URL" | "PRODUCTION_URL" | "RESTOCK_URL"} [service]
 */
export async function operate(method, path, body, service = "SALES_URL") {
  const answer = await fetch(`${variable(service)}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${variable("OPERATOR_TOKEN")}`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path} answers ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** @type {WeakMap<object, (() => Promise<void>)[]>} */
const ends = new WeakMap();

/**
 * Registers a cleanup for the end of the test. Cleanups run in reverse order, so that pages are closed before their
 * products are removed.
 * @param {{ after(end: () => Promise<void>): void }} test
 * @param {() => Promise<void>} end
 */
export function atEnd(test, end) {
  const known = ends.get(test);
  if (known) {
    known.push(end);
    return;
  }
  const all = [end];
  ends.set(test, all);
  test.after(async () => {
    for (const one of all.reverse()) await one();
  });
}

/**
 * A product used by this test only, taken off sale when the test ends. Its SKU sorts near the top of the shop, and
 * it is not replenished unless the test asks for it.
 * @param {{ after(end: () => Promise<void>): void }} test
 * @param {{ name?: string, stock?: number, price?: number, policy?: object }} [wish]
 */
export async function product(test, { name, stock = 0, price = 19_900, policy = {} } = {}) {
  const sku = `A-e2e-${randomBytes(4).toString("hex")}`;
  const shown = name ?? `시험 도너츠 ${sku.slice(-4)}`;
  const body = (/** @type {boolean} */ isOnSale) => ({
    name: shown,
    price: { amount: price, currency: "KRW" },
    factory_id: FACTORY,
    on_sale: isOnSale,
    policy: { reorder_point: 0, order_up_to: 10, lot_size: 10, mode: "off", shortage: "reject", ...policy },
  });
  await operate("PUT", `/api/v1/products/${sku}`, body(true));
  atEnd(test, () => operate("PUT", `/api/v1/products/${sku}`, body(false)));
  if (stock > 0) await adjust(sku, stock);
  return { sku, name: shown };
}

/** @param {string} sku @param {number} delta */
export async function adjust(sku, delta) {
  await operate("POST", `/api/v1/products/${sku}/adjustments`, {
    delta,
    reason: "correction",
    note: "browser test",
  });
}

/** Orders units from the factory. @param {string} sku @param {number} quantity */
export async function replenish(sku, quantity) {
  await operate("POST", "/api/v1/replenishments", { sku, quantity });
}

/** All orders that contain a product. @param {string} sku @returns {Promise<{id: string, status: string}[]>} */
export async function ordersOf(sku) {
  const { items } = await operate("GET", `/api/v1/orders?sku=${sku}`);
  return items;
}
