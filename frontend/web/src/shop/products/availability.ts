/** What a card says about stock: no more than is known. */
import type { SalesComponents } from "../../common/api";
import type { Instant } from "../../common/format";

export type Product = SalesComponents["schemas"]["Product"];

export type Availability =
  | { kind: "inStock" }
  | { kind: "low"; left: number }
  /** Sold before it is there; the time when it is known and not past. */
  | { kind: "backorder"; eta: string | undefined }
  /** Nothing left, more is on its way. */
  | { kind: "back"; eta: string }
  /** The time has come, the goods have not. */
  | { kind: "soon" }
  | { kind: "soldOut" };

export function availability(product: Product, now: Instant): Availability {
  const eta = product.restock_eta ?? undefined;
  const isAhead = eta !== undefined && new Date(eta).getTime() > new Date(now).getTime();
  switch (product.status) {
    case "in_stock":
      return { kind: "inStock" };
    case "low":
      return { kind: "low", left: product.available };
    case "backorder":
      return { kind: "backorder", eta: isAhead ? eta : undefined };
    case "sold_out":
      if (eta === undefined) return { kind: "soldOut" };
      return isAhead ? { kind: "back", eta } : { kind: "soon" };
  }
}

/** Whether it can be put into the cart. */
export function isOrderable(product: Product): boolean {
  return product.status !== "sold_out";
}
