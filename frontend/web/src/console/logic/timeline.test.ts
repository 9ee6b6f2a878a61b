import { expect, it } from "vitest";
import {
  chainOf,
  type Next,
  ordersIn,
  questionsAbout,
  readId,
  requestsIn,
  type Step,
  type Timeline,
} from "./timeline";

const start = Date.parse("2026-11-22T10:00:00Z");
const step = (service: string, ms: number, kind: Step["kind"], changes: Partial<Step> = {}): Step => ({
  at: new Date(start + ms).toISOString(),
  kind,
  service,
  subject: { type: "order", id: "o" },
  sku: null,
  quantity: null,
  detail: {},
  trace_id: null,
  duration_ms: null,
  ...changes,
});
const part = (items: Step[], next: Next[] = []): Timeline => ({ items, next, truncated: false });
const next = (what: Next["what"], ms: number | null): Next => ({
  what,
  at: ms === null ? null : new Date(start + ms).toISOString(),
  service: "production-service",
  subject: { type: "production_request", id: "r" },
  sku: null,
  quantity: null,
  detail: {},
});

it("puts the parts of three services in time order, with what lay between", () => {
  const chain = chainOf([
    part([step("sales-service", 0, "order.rejected"), step("sales-service", 9_000, "receipt.applied")]),
    part(
      [
        step("production-service", 500, "production.attempted", { duration_ms: 300 }),
        step("production-service", 800, "production.accepted"),
      ],
      [next("decision", null), next("overdue", 9), next("next_attempt", 5)],
    ),
    part([step("restock-service", 8_800, "receipt.booked")]),
  ]);
  expect(chain.steps.map(({ kind, waitedMs }) => [kind, waitedMs])).toEqual([
    ["order.rejected", null],
    ["production.attempted", 500],
    ["production.accepted", 0],
    ["receipt.booked", 8_000],
    ["receipt.applied", 200],
  ]);
  expect(chain.lastedMs).toBe(9_000);
  expect(chain.next.map(({ what }) => what)).toEqual(["next_attempt", "overdue", "decision"]);
});

it("puts the cause first when two things happened in one moment", () => {
  const chain = chainOf([
    part([step("restock-service", 0, "restock.expected")]),
    part([step("production-service", 0, "production.requested")]),
    part([step("sales-service", 0, "replenishment.ordered")]),
  ]);
  expect(chain.steps.map(({ kind }) => kind)).toEqual([
    "replenishment.ordered",
    "production.requested",
    "restock.expected",
  ]);
});

it("finds the requests of an order and the orders of a request", () => {
  const timeline = part([
    step("sales-service", 0, "order.backordered", { detail: { request_ids: ["a", "b"] } }),
    step("sales-service", 1, "replenishment.ordered", {
      subject: { type: "replenishment", id: "b" },
      detail: { order_ids: ["o1", "o2"] },
    }),
    step("sales-service", 2, "receipt.applied", {
      subject: { type: "receipt", id: "x" },
      detail: { request_id: "c" },
    }),
  ]);
  expect(requestsIn(timeline)).toEqual(["a", "b", "c"]);
  expect(ordersIn(timeline)).toEqual(["o1", "o2"]);
});

it("asks about many requests in groups, and says when some were left out", () => {
  const ids = Array.from({ length: 61 }, (_, place) => `r${place}`);
  expect(requestsIn(part([step("s", 0, "order.confirmed", { detail: { request_ids: ids } })]))).toEqual(ids);
  const asked = (count: number) => {
    const { questions, truncated } = questionsAbout(ids.slice(0, count));
    return [questions.map((question) => question.length), truncated];
  };
  expect(asked(0)).toEqual([[], false]);
  expect(asked(20)).toEqual([[20], false]);
  expect(asked(21)).toEqual([[20, 1], false]);
  expect(asked(60)).toEqual([[20, 20, 20], false]);
  expect(asked(61)).toEqual([[20, 20, 20], true]);
  expect(questionsAbout(ids).questions.flat()).toEqual(ids.slice(1));
});

it("is empty without steps", () => {
  expect(chainOf([part([]), part([])])).toEqual({ steps: [], next: [], truncated: false, lastedMs: 0 });
});

it("reads ids as people paste them", () => {
  const id = "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3";
  for (const text of [id, ` ${id.toUpperCase()}\n`, `https://x/orders/${id}`, `?order=${id}`])
    expect(readId(text)).toBe(id);
  for (const text of ["", "CP-502101", `${id}0`]) expect(readId(text)).toBeUndefined();
});
