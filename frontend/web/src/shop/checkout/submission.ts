/**
 * From a press of the order button to an answer, as a pure machine.
 *
 * An attempt has one Idempotency-Key for its whole life and is kept until an answer says what became of it.
 * A lost answer, a reload or a closed lid only lead to the same question being asked again: the shop answers
 * it as it did the first time. Only a refusal by the shop itself (409, 422, ..) ends an attempt, not that of a
 * proxy or a portal on the way; what the shopper orders after that is another attempt with another key.
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

/** Why an order that is on its way is not being sent right now. */
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

/** Whether a press of the order button counts now. */
export function mayPlace(state: Submission): boolean {
  return state.name !== "sending" && state.name !== "waiting";
}

/** The attempt whose answer is still to come: what must be kept. */
export function pending(state: Submission): Attempt | undefined {
  return state.name === "sending" || state.name === "waiting" ? state.attempt : undefined;
}

/** The next state; an event that does not concern the state changes nothing. */
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

/** Whether the shop, or what stands before it, asks for patience; another's 404 tells nothing of the shop. */
function isBusy(error: unknown): boolean {
  return error instanceof ProblemError && (error.isOurs || error.status >= 500);
}

/** The order with no more of each product than the refusal said is left; undefined when that is nothing. */
export function whatIsLeft(body: OrderBody, short: readonly ShortLine[]): OrderBody | undefined {
  const lines = body.lines.flatMap((line) => {
    const left = short.find((other) => other.sku === line.sku)?.available ?? line.quantity;
    const quantity = Math.min(line.quantity, left);
    return quantity > 0 ? [{ ...line, quantity }] : [];
  });
  return lines.length > 0 ? { lines } : undefined;
}

/**
 * Whether an order that was refused for these products' lack of stock is taken when it says that it waits: their
 * policies leave it to the order. A product that always waits was refused because too many wait for it.
 */
export function mayWait(policies: readonly (string | undefined)[]): boolean {
  return (
    policies.includes("choice") && policies.every((policy) => policy === "choice" || policy === "backorder")
  );
}

/** The same order, to be delivered when there is stock. Undefined when just that was refused. */
export function asBackorder(body: OrderBody): OrderBody | undefined {
  return body.on_shortage === "backorder" ? undefined : { ...body, on_shortage: "backorder" };
}

/** A kept attempt out of anything. */
export function parseAttempt(found: unknown): Attempt | null {
  if (typeof found !== "object" || found === null) return null;
  const { key, body } = found as Partial<Attempt>;
  const isOrder = Array.isArray(body?.lines) && body.lines.every((line) => typeof line?.sku === "string");
  return typeof key === "string" && key !== "" && body && isOrder ? { key, body } : null;
}
