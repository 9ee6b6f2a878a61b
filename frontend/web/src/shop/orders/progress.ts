/** Progress of an order, computed from its lines. */
import type { Order } from "../checkout/submission";

export type Stage = "waiting" | "fulfilled" | "cancelled" | "rejected";

export interface Progress {
  stage: Stage;
  ordered: number;
  filled: number;
  /** Expected arrival of the last missing units; undefined when it is unknown. */
  eta: string | undefined;
}

export function progressOf(order: Order): Progress {
  const ordered = order.lines.reduce((sum, line) => sum + line.quantity, 0);
  const filled = order.lines.reduce((sum, line) => sum + line.filled, 0);
  const missing = order.lines.filter((line) => line.filled < line.quantity);
  const etas = missing.flatMap((line) => line.restock_eta ?? []);
  // If the arrival of one line is unknown, it is unknown for the whole order.
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
