/**
 * From a press of the order button to an answer, as a pure state machine.
 *
 * An attempt has one Idempotency-Key for its whole life and is stored until an answer settles it. After a lost
 * answer, a reload or a closed laptop the same request is sent again, and the shop answers it as it did the first
 * time. Only a refusal by the shop itself (409, 422, ..) ends an attempt, not one by a proxy or portal in between; a
 * later order is a new attempt with a new key.
 */
import type { SalesComponents } from "../../common/api";
import { isTemporary, type Problem, ProblemError } from "../../common/api/problem";

export type Order = SalesComponents["schemas"]["Order"];
export type OrderBody = SalesComponents["schemas"]["OrderBody"];
export type ShortLine = SalesComponents["schemas"]["ShortLine"];

export interface Attempt {
  key: string;
  body: OrderBody;
}

/** Reason why an order in flight is waiting for its next attempt. */
export type Delay = "offline" | "noAnswer" | "busy";

export type Submission =
  | { name: "idle" }
  | { name: "sending"; attempt: Attempt; failures: number }
  | { name: "waiting"; attempt: Attempt; failures: number; why: Delay; retryAt: number }
  | { name: "short"; attempt: Attempt; lines: ShortLine[] }
  | { name: "refused"; attempt: Attempt; problem: Problem }
  | { name: "placed"; attempt: Attempt; order: Order };

export type SubmissionEvent =
  | { type: "placed-by-shopper"; attempt: Attempt }
  | { type: "resumed"; attempt: Attempt }
  | { type: "answered"; key: string; order: Order }
  | { type: "failed"; key: string; error: unknown; now: number; online: boolean }
  | { type: "due" }
  | { type: "left" };

const DELAYS_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

/** True when a press of the order button starts a new attempt. */
export function mayPlace(state: Submission): boolean {
  return state.name !== "sending" && state.name !== "waiting";
}

/** The attempt that is still unanswered and must therefore be stored. */
export function pending(state: Submission): Attempt | undefined {
  return state.name === "sending" || state.name === "waiting" ? state.attempt : undefined;
}

/** The next state; an event that does not apply to the state leaves it unchanged. */
export function next(state: Submission, event: SubmissionEvent): Submission {
  switch (event.type) {
    case "placed-by-shopper":
    case "resumed":
      return mayPlace(state) ? { name: "sending", attempt: event.attempt, failures: 0 } : state;
    case "answered":
      if (pending(state)?.key !== event.key) return state;
      return { name: "placed", attempt: attemptOf(state), order: event.order };
    case "failed":
      if (state.name !== "sending" || state.attempt.key !== event.key) return state;
      return failed(state, event);
    case "due":
      return state.name === "waiting" ? { ...state, name: "sending" } : state;
    case "left":
      return { name: "idle" };
  }
}

function attemptOf(state: Submission): Attempt {
  if (state.name === "idle") throw new Error("nothing was sent");
  return state.attempt;
}

function failed(
  { attempt, failures }: { attempt: Attempt; failures: number },
  { error, now, online }: { error: unknown; now: number; online: boolean },
): Submission {
  if (error instanceof ProblemError && !isTemporary(error)) {
    const lines = error.slug === "out-of-stock" ? error.problem.lines : undefined;
    if (Array.isArray(lines)) return { name: "short", attempt, lines };
    return { name: "refused", attempt, problem: error.problem };
  }
  const grown = DELAYS_MS[Math.min(failures, DELAYS_MS.length - 1)] ?? 0;
  const asked = error instanceof ProblemError ? error.retryAfterS : undefined;
  return {
    name: "waiting",
    attempt,
    failures: failures + 1,
    why: online ? (isBusy(error) ? "busy" : "noAnswer") : "offline",
    retryAt: now + Math.max(grown, (asked ?? 0) * 1000),
  };
}

/** True when the shop or its proxy is overloaded. A 404 of another server says nothing about the shop. */
function isBusy(error: unknown): boolean {
  return error instanceof ProblemError && (error.isOurs || error.status >= 500);
}

/** The order reduced to the units that the refusal reports as available; undefined when there are none. */
export function whatIsLeft(body: OrderBody, short: readonly ShortLine[]): OrderBody | undefined {
  const lines = body.lines.flatMap((line) => {
    const left = short.find((other) => other.sku === line.sku)?.available ?? line.quantity;
    const quantity = Math.min(line.quantity, left);
    return quantity > 0 ? [{ ...line, quantity }] : [];
  });
  return lines.length > 0 ? { lines } : undefined;
}

/**
 * True when an order that was refused because these products are short is accepted as a backorder: their policies
 * leave the choice to the order. A product that is always backordered was refused because its backorder limit is
 * reached.
 */
export function mayWait(policies: readonly (string | undefined)[]): boolean {
  return (
    policies.includes("choice") && policies.every((policy) => policy === "choice" || policy === "backorder")
  );
}

/** The same order as a backorder; undefined when the refused order was one already. */
export function asBackorder(body: OrderBody): OrderBody | undefined {
  return body.on_shortage === "backorder" ? undefined : { ...body, on_shortage: "backorder" };
}

/** Parses a stored attempt from any value. */
export function parseAttempt(found: unknown): Attempt | null {
  if (typeof found !== "object" || found === null) return null;
  const { key, body } = found as Partial<Attempt>;
  const isOrder = Array.isArray(body?.lines) && body.lines.every((line) => typeof line?.sku === "string");
  return typeof key === "string" && key !== "" && body && isOrder ? { key, body } : null;
}
