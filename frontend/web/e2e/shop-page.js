// Helpers for the shop: labels and locators of its pages.

/** Labels that the tests look for. */
export const WORDS = {
  en: {
    add: (/** @type {string} */ name) => `Add ${name} to the cart`,
    order: "Place order",
    doughnuts: "Doughnuts",
    cart: "Cart",
    soldOut: "Sold out",
    complete: "Complete",
    waiting: "Ordered, waiting for stock",
    quicker: "Not enough stock",
    takeLeft: "Order what is left",
    backorder: "Order all and wait for the rest",
    offline: "You are offline. Your order will be sent when you are back online.",
  },
  ko: {
    add: (/** @type {string} */ name) => `${name} 장바구니에 담기`,
    order: "주문하기",
    doughnuts: "도너츠",
    cart: "장바구니",
    soldOut: "품절",
    complete: "완료",
    waiting: "주문 접수 · 입고 대기 중",
    quicker: "재고가 부족합니다",
    takeLeft: "남은 수량만 주문하기",
    backorder: "모두 주문하고 나머지 기다리기",
    offline: "오프라인 상태입니다. 다시 연결되면 주문을 바로 보냅니다.",
  },
};

/** @typedef {import("playwright-core").Page} Page */

/** A product's card. @param {Page} page @param {string} sku */
export function card(page, sku) {
  return page.locator(`.card[data-sku="${sku}"]`);
}

/** The stock badge of a card. @param {Page} page @param {string} sku */
export function badge(page, sku) {
  return card(page, sku).locator(".badge");
}

/**
 * Adds a product to the cart and opens the cart.
 * @param {Page} page
 * @param {{ sku: string }} product
 * @param {number} [quantity]
 */
export async function fillCart(page, product, quantity = 1) {
  await page.goto("/");
  const field = card(page, product.sku).getByRole("spinbutton");
  await field.fill(String(quantity));
  await field.press("Tab");
  await card(page, product.sku).locator(".button-primary").click();
  await page.locator('.shop-header a[href="/cart"]').click();
  await page.locator(`.cart-line[data-sku="${product.sku}"]`).waitFor();
}

/** The button that places the order. @param {Page} page @param {"ko" | "en"} [language] */
export function orderButton(page, language = "en") {
  return page.getByRole("button", { name: WORDS[language].order, exact: true });
}

/** Waits for the order's page; returns the order's id. @param {Page} page */
export async function orderShown(page) {
  await page.waitForURL(/\/orders\/[0-9a-f-]{36}$/);
  await page.locator(".order-stage").waitFor();
  return page.url().slice(-36);
}

/** Waits until a text is shown. @param {import("playwright-core").Locator} place @param {string | RegExp} text */
export async function shows(place, text) {
  await place.filter({ hasText: text }).first().waitFor();
}
