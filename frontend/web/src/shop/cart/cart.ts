/** The cart: what a shopper means to order. Names and prices are the shop's to say, so they are not in it. */
import { Kept } from "../kept";

export interface CartLine {
  sku: string;
  quantity: number;
}
export type Cart = readonly CartLine[];

/** What one order may have. */
export const LINES_MAX = 50;
/** More of one kind is an order for the telephone. */
export const QUANTITY_MAX = 999;

/**
 * Adds units, up to `most` of the product; a product that is there already gets more. A cart that is full stays as
 * it is, and so does a line that has more than that already: the shopper sees it and decides.
 */
export function add(cart: Cart, sku: string, quantity: number, most = QUANTITY_MAX): Cart {
  const known = cart.find((line) => line.sku === sku);
  if (known) {
    const raised = Math.min(known.quantity + quantity, most);
    return setQuantity(cart, sku, Math.max(known.quantity, raised));
  }
  if (cart.length >= LINES_MAX) return cart;
  return [...cart, { sku, quantity: bounded(Math.min(quantity, most)) }];
}

/** Units of a product in the cart. */
export function unitsOf(cart: Cart, sku: string): number {
  return cart.find((line) => line.sku === sku)?.quantity ?? 0;
}

export function setQuantity(cart: Cart, sku: string, quantity: number): Cart {
  return cart.map((line) => (line.sku === sku ? { sku, quantity: bounded(quantity) } : line));
}

export function remove(cart: Cart, sku: string): Cart {
  return cart.filter((line) => line.sku !== sku);
}

/** What stays when `ordered` was taken: things that another tab has put in meanwhile. */
export function without(cart: Cart, ordered: Cart): Cart {
  return cart.flatMap((line) => {
    const taken = ordered.find((other) => other.sku === line.sku)?.quantity ?? 0;
    return line.quantity > taken ? [{ sku: line.sku, quantity: line.quantity - taken }] : [];
  });
}

export function units(cart: Cart): number {
  return cart.reduce((sum, line) => sum + line.quantity, 0);
}

function bounded(quantity: number): number {
  return Math.min(Math.max(Math.trunc(quantity) || 1, 1), QUANTITY_MAX);
}

/** A cart out of anything; lines that are none are left out. */
export function parseCart(found: unknown): Cart {
  if (!Array.isArray(found)) return [];
  const lines = found.filter(
    (line): line is CartLine =>
      typeof line?.sku === "string" && Number.isInteger(line.quantity) && line.quantity >= 1,
  );
  return lines.reduce<Cart>((cart, line) => add(cart, line.sku, line.quantity), []);
}

/** The shopper's cart. */
export const keptCart = new Kept<Cart>("jaego.shop.cart", parseCart);
