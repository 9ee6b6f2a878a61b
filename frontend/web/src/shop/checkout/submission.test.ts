import { describe, expect, it } from "vitest";
import { NoAnswerError, ProblemError } from "../../common/api/problem";
import {
  type Attempt,
  asBackorder,
  mayPlace,
  mayWait,
  next,
  type Order,
  parseAttempt,
  pending,
  type Submission,
  whatIsLeft,
} from "./submission";

const attempt: Attempt = { key: "k1", body: { lines: [{ sku: "A", quantity: 3 }] } };
const sending: Submission = { name: "sending", attempt, failures: 0 };
const order = { id: "o1", status: "confirmed" } as Order;

function problem(status: number, slug: string, extra: object = {}, retryAfterS?: number) {
  return new ProblemError({ type: `/problems/${slug}`, title: slug, status, ...extra }, retryAfterS);
}

function fail(state: Submission, error: unknown, online = true): Submission {
  return next(state, { type: "failed", key: "k1", error, now: 1_000, online });
}

describe("a submission", () => {
  it("begins once: a second press while one is on its way changes nothing", () => {
    const first = next({ name: "idle" }, { type: "placed-by-shopper", attempt });
    expect(first).toEqual(sending);
    const second = next(first, { type: "placed-by-shopper", attempt: { ...attempt, key: "k2" } });
    expect(second).toBe(first);
    expect(mayPlace(first)).toBe(false);
  });

  it("ends with the order, whatever came between", () => {
    const late = next(fail(sending, new NoAnswerError("cut")), { type: "answered", key: "k1", order });
    expect(late).toEqual({ name: "placed", attempt, order });
    expect(pending(late)).toBeUndefined();
  });

  it("takes no answer to another attempt", () => {
    expect(next(sending, { type: "answered", key: "other", order })).toBe(sending);
    const event = { type: "failed", key: "other", error: problem(409, "x"), now: 0, online: true } as const;
    expect(next(sending, event)).toBe(sending);
  });

  it("keeps its key and body through lost answers, with growing delays", () => {
    let state: Submission = sending;
    const delays: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      state = fail(state, new NoAnswerError("cut"));
      if (state.name !== "waiting") throw new Error(state.name);
      expect(state.why).toBe("noAnswer");
      expect(pending(state)).toBe(attempt);
      delays.push(state.retryAt - 1_000);
      state = next(state, { type: "due" });
    }
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    expect(state).toMatchObject({ name: "sending", attempt });
  });

  it("says offline when there is no network", () => {
    expect(fail(sending, new NoAnswerError("cut"), false)).toMatchObject({ name: "waiting", why: "offline" });
  });

  it("waits as long as a busy shop asks, and never shorter than its own delay", () => {
    expect(fail(sending, problem(503, "overloaded", {}, 7))).toMatchObject({ why: "busy", retryAt: 8_000 });
    expect(fail(sending, problem(503, "overloaded", {}, 0))).toMatchObject({ why: "busy", retryAt: 2_000 });
    expect(fail(sending, problem(429, "too-many-requests"))).toMatchObject({ name: "waiting" });
    expect(fail(sending, problem(500, "internal"))).toMatchObject({ name: "waiting" });
  });

  it("ends when stock is short, or when the order is refused", () => {
    const lines = [{ sku: "A", requested: 3, available: 1, restock_eta: null }];
    expect(fail(sending, problem(409, "out-of-stock", { lines }))).toEqual({ name: "short", attempt, lines });
    const refused = fail(sending, problem(422, "unknown-product"));
    expect(refused).toMatchObject({ name: "refused", problem: { status: 422 } });
    expect(mayPlace(refused)).toBe(true);
  });

  it("goes on after a refusal that is not the shop's", () => {
    for (const status of [302, 400, 403, 404, 409, 422]) {
      const foreign = new ProblemError({ type: "about:blank", title: "Not Found", status }, undefined);
      const state = fail(sending, foreign);
      expect(state).toMatchObject({ name: "waiting", why: "noAnswer" });
      expect(pending(state)).toBe(attempt);
    }
    const elsewhere = {
      type: "https://example.org/problems/out-of-stock",
      title: "",
      status: 409,
      lines: [],
    };
    expect(fail(sending, new ProblemError(elsewhere, undefined)).name).toBe("waiting");
    const gateway = new ProblemError({ type: "about:blank", title: "Bad Gateway", status: 502 }, undefined);
    expect(fail(sending, gateway)).toMatchObject({ name: "waiting", why: "busy" });
  });

  it("may be left, and resumed by another page", () => {
    expect(next(sending, { type: "left" })).toEqual({ name: "idle" });
    expect(next({ name: "idle" }, { type: "resumed", attempt })).toEqual(sending);
    expect(next({ name: "idle" }, { type: "due" })).toEqual({ name: "idle" });
  });
});

describe("after a refusal", () => {
  const body = {
    lines: [
      { sku: "A", quantity: 3 },
      { sku: "B", quantity: 2 },
      { sku: "C", quantity: 1 },
    ],
  };
  const short = [
    { sku: "A", requested: 3, available: 1, restock_eta: null },
    { sku: "B", requested: 2, available: 0, restock_eta: null },
  ];

  it("what is left is taken, nothing that is not", () => {
    expect(whatIsLeft(body, short)).toEqual({
      lines: [
        { sku: "A", quantity: 1 },
        { sku: "C", quantity: 1 },
      ],
    });
    expect(whatIsLeft({ lines: [{ sku: "B", quantity: 2 }] }, short)).toBeUndefined();
  });

  it("the whole can wait, unless just that was refused", () => {
    const later = asBackorder(body);
    expect(later).toEqual({ ...body, on_shortage: "backorder" });
    expect(later && asBackorder(later)).toBeUndefined();
  });
});

describe("a kept attempt", () => {
  it("is what was kept, or nothing", () => {
    expect(parseAttempt(JSON.parse(JSON.stringify(attempt)))).toEqual(attempt);
    for (const found of [undefined, null, 7, {}, { key: "", body: attempt.body }, { key: "k", body: {} }]) {
      expect(parseAttempt(found)).toBeNull();
    }
  });

  it("offers to wait only where the products' policies leave it to the order", () => {
    expect(mayWait(["choice"])).toBe(true);
    expect(mayWait(["choice", "backorder"])).toBe(true);
    for (const policies of [
      ["reject"],
      ["choice", "reject"],
      ["backorder"],
      [undefined],
      ["choice", undefined],
    ]) {
      expect(mayWait(policies)).toBe(false);
    }
  });
});
