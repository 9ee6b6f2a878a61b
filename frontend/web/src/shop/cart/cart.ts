/** The shopper's cart. It holds no names and prices, which may change and are always read from the shop. */
import { Kept } from "../kept";

export interface CartLine {
  sku: string;
  quantity: number;
}
export type Cart = readonly CartLine[];

/** Maximum number of lines in an order. */
export const LINES_MAX = 50;
/** Larger quantities of one product are ordered by phone. */
export const QUANTITY_MAX = 999;

/**
 * Adds units of a product to its line or to a new line, up to `most` in total. A full cart is left unchanged, and so
 * is a line that already has more than `most`: the shopper sees it and decides.
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

export function unitsOf(cart: Cart, sku: string): number {
  return cart.find((line) => line.sku === sku)?.quantity ?? 0;
}

export function setQuantity(cart: Cart, sku: string, quantity: number): Cart {
  return cart.map((line) => (line.sku === sku ? { sku, quantity: bounded(quantity) } : line));
}

export function remove(cart: Cart, sku: string): Cart {
  return cart.filter((line) => line.sku !== sku);
}

/** The cart without the ordered units: what remains was added in another tab since then. */
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

/** Parses a cart from any value; invalid lines are left out. */
export function parseCart(found: unknown): Cart {
  if (!Array.isArray(found)) return [];
  const lines = found.filter(
    (line): line is CartLine =>
      typeof line?.sku === "string" && Number.isInteger(line.quantity) && line.quantity >= 1,
  );
  return lines.reduce<Cart>((cart, line) => add(cart, line.sku, line.quantity), []);
}

export const keptCart = new Kept<Cart>("jaego.shop.cart", parseCart);
