/** The availability shown on a card. It promises nothing that is not known. */
import type { SalesComponents } from "../../common/api";
import type { Instant } from "../../common/format";

export type Product = SalesComponents["schemas"]["Product"];

export type Availability =
  | { kind: "inStock" }
  | { kind: "low"; left: number }
  /** Sold as a backorder; `eta` only if it is known and not in the past. */
  | { kind: "backorder"; eta: string | undefined }
  /** Sold out, with a restock expected at `eta`. */
  | { kind: "back"; eta: string }
  /** The expected time has passed, but the goods have not arrived. */
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

/** True when the product can be added to the cart. */
export function isOrderable(product: Product): boolean {
  return product.status !== "sold_out";
}
