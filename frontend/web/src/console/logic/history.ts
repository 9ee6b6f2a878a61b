/**
 * On hand and position over time, computed backwards from the current figures.
 *
 * On hand is in the ledger. The position also changes when a replenishment is decided and when an order starts to
 * wait. Units that arrive from production or fill a waiting order do not change it (on order becomes on hand, on hand
 * fills a backorder). The time at which a replenishment was withdrawn is not known here, so its units that never
 * arrived are left out.
 */
import type { SalesComponents } from "../../common/api";

type Movement = SalesComponents["schemas"]["MovementEntry"];
type Replenishment = SalesComponents["schemas"]["Replenishment"];
type Order = SalesComponents["schemas"]["Order"];

export interface History {
  /** Seconds since 1970, ascending. */
  at: number[];
  on_hand: number[];
  position: number[];
}

interface Change {
  ms: number;
  onHand: number;
  position: number;
}

/** Creation time of a version 7 UUID in milliseconds; `undefined` for any other text. */
export function uuidTime(id: string): number | undefined {
  const match = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.exec(id);
  return match ? Number.parseInt(`${match[1]}${match[2]}`, 16) : undefined;
}

function changesOf(movement: Movement): Change[] {
  const ms = Date.parse(movement.at);
  const moved = { ms, onHand: movement.delta, position: movement.delta };
  if (movement.cause === "receipt") return [{ ...moved, position: 0 }];
  if (movement.cause !== "backorder_fill") return [moved];
  // The units started to wait when their order was placed, and the position dropped then.
  const since = uuidTime(movement.reference);
  const waited = since === undefined ? [] : [{ ms: since, onHand: 0, position: movement.delta }];
  return [{ ...moved, position: 0 }, ...waited];
}

const WITHDRAWN = ["closed_short", "refused", "cancelled"];

function changeOfReplenishment(replenishment: Replenishment): Change {
  const { status, received, quantity } = replenishment;
  const units = status === "proposed" ? 0 : WITHDRAWN.includes(status) ? received : quantity;
  return { ms: Date.parse(replenishment.created_at), onHand: 0, position: units };
}

function changeOfWaiting(order: Order, sku: string): Change {
  const waiting = order.lines
    .filter((line) => line.sku === sku)
    .reduce((sum, line) => sum + line.quantity - line.filled, 0);
  return { ms: Date.parse(order.created_at), onHand: 0, position: -waiting };
}

/** A product's recent history, as far back as the given movements. */
export function historyOf(
  now: { sku: string; on_hand: number; position: number; ms: number },
  movements: readonly Movement[],
  replenishments: readonly Replenishment[],
  waiting: readonly Order[],
): History {
  const oldest = movements.reduce((ms, movement) => Math.min(ms, Date.parse(movement.at)), now.ms);
  const changes = [
    ...movements.flatMap(changesOf),
    ...replenishments.map(changeOfReplenishment),
    ...waiting.map((order) => changeOfWaiting(order, now.sku)),
  ]
    .filter((change) => change.ms >= oldest && (change.onHand !== 0 || change.position !== 0))
    .sort((one, other) => other.ms - one.ms);
  const history: History = { at: [now.ms / 1000], on_hand: [now.on_hand], position: [now.position] };
  let { on_hand, position } = now;
  const push = (ms: number) => {
    const last = history.at.length - 1;
    // Changes at the same time form one point: the state after the last of them.
    if (history.at[last] === ms / 1000) return;
    history.at.push(ms / 1000);
    history.on_hand.push(on_hand);
    history.position.push(position);
  };
  for (const change of changes) {
    push(change.ms);
    on_hand -= change.onHand;
    position -= change.position;
  }
  if (changes.length > 0) push(oldest - 1);
  history.at.reverse();
  history.on_hand.reverse();
  history.position.reverse();
  return history;
}
