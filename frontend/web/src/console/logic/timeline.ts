/** Merges the timelines of the three services into one chain. */
import type { SalesComponents } from "../../common/api";

export type Timeline = SalesComponents["schemas"]["Timeline"];
export type Step = SalesComponents["schemas"]["TimelineItem"];
export type Next = SalesComponents["schemas"]["TimelineNext"];

/** Maximum number of production requests that a service accepts in one query. */
const REQUESTS_MAX = 20;
/** Maximum number of queries to one service for one chain. */
const QUESTIONS_MAX = 3;

/** The production requests mentioned in the timeline of sales-service, in order of appearance. */
export function requestsIn(timeline: Timeline): string[] {
  const ids = new Set<string>();
  for (const { subject, detail } of timeline.items) {
    if (subject.type === "replenishment" || subject.type === "production_request") ids.add(subject.id);
    for (const id of detail.request_ids ?? []) ids.add(id);
    if (detail.request_id) ids.add(detail.request_id);
  }
  return [...ids];
}

/** Splits the latest requests into queries that a service accepts. */
export function questionsAbout(requests: readonly string[]): { questions: string[][]; truncated: boolean } {
  const asked = requests.slice(-QUESTIONS_MAX * REQUESTS_MAX);
  const questions: string[][] = [];
  for (let from = 0; from < asked.length; from += REQUESTS_MAX) {
    questions.push(asked.slice(from, from + REQUESTS_MAX));
  }
  return { questions, truncated: asked.length < requests.length };
}

/** The orders that triggered a replenishment. */
export function ordersIn(timeline: Timeline): string[] {
  return [...new Set(timeline.items.flatMap(({ detail }) => detail.order_ids ?? []))];
}

export interface ChainStep extends Step {
  /** Unique within the chain. */
  key: string;
  /** Time from the end of the previous step, milliseconds; null for the first step. */
  waitedMs: number | null;
}

export interface Chain {
  steps: ChainStep[];
  next: Next[];
  truncated: boolean;
  /** Time from the first step to the end of the last, milliseconds. */
  lastedMs: number;
}

/** At equal times a cause precedes its effect: sales decides, production calls the factory, goods arrive. */
const RANK: Record<string, number> = { "sales-service": 0, "production-service": 1, "restock-service": 2 };

/** Merges all parts in order of time. */
export function chainOf(parts: readonly Timeline[]): Chain {
  const all = parts.flatMap((part) => part.items);
  const rank = (step: Step) => RANK[step.service] ?? 3;
  const sorted = all
    .map((step, place) => ({ step, place, ms: Date.parse(step.at) }))
    .sort((one, other) => one.ms - other.ms || rank(one.step) - rank(other.step) || one.place - other.place);
  let end: number | undefined;
  const steps = sorted.map(({ step, ms }, place): ChainStep => {
    // A call that overlaps the next step leaves no idle time.
    const waitedMs = end === undefined ? null : Math.max(0, ms - end);
    end = Math.max(end ?? ms, ms + (step.duration_ms ?? 0));
    return { ...step, key: `${place} ${step.kind}`, waitedMs };
  });
  const first = sorted[0]?.ms ?? 0;
  return {
    steps,
    next: parts
      .flatMap((part) => part.next)
      .sort(
        (one, other) =>
          (one.at ? Date.parse(one.at) : Infinity) - (other.at ? Date.parse(other.at) : Infinity),
      ),
    truncated: parts.some((part) => part.truncated),
    lastedMs: end === undefined ? 0 : end - first,
  };
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Reads a pasted id, which may have surrounding spaces or be part of a URL. */
export function readId(text: string): string | undefined {
  const plain =
    text
      .trim()
      .split(/[/=?&\s]/)
      .at(-1) ?? "";
  return ID.test(plain) ? plain.toLowerCase() : undefined;
}
