/** How far an order has come, out of its figures. */
import type { Order } from "../checkout/submission";

export type Stage = "waiting" | "fulfilled" | "cancelled" | "rejected";

export interface Progress {
  stage: Stage;
  ordered: number;
  filled: number;
  /** When the last of what is missing should be here; undefined when nobody knows. */
  eta: string | undefined;
}

export function progressOf(order: Order): Progress {
  const ordered = order.lines.reduce((sum, line) => sum + line.quantity, 0);
  const filled = order.lines.reduce((sum, line) => sum + line.filled, 0);
  const missing = order.lines.filter((line) => line.filled < line.quantity);
  const etas = missing.flatMap((line) => line.restock_eta ?? []);
  // One line of which nobody knows makes the whole order one of which nobody knows.
  const isKnown = missing.length > 0 && etas.length === missing.length;
  return { stage: stageOf(order), ordered, filled, eta: isKnown ? etas.toSorted().at(-1) : undefined };
}

function stageOf(order: Order): Stage {
  switch (order.status) {
    case "confirmed":
      return "fulfilled";
    case "backordered":
      return "waiting";
    case "cancelled":
      return "cancelled";
    case "rejected":
      return "rejected";
  }
}
