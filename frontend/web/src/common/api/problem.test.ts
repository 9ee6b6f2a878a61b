import { afterEach, describe, expect, it, vi } from "vitest";
import { retryDelay, shouldRetry } from "../query";
import { requestJson } from "./http";
import { answered, newKey, ok, sales } from "./index";
import { isTemporary, NoAnswerError, ProblemError, retryAfter } from "./problem";

function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
  const fetch = vi.fn(async () => new Response(JSON.stringify(body), { status, headers }));
  vi.stubGlobal("fetch", fetch);
  return fetch;
}
const products = () => ok(sales.GET("/api/v1/products"));

afterEach(() => vi.unstubAllGlobals());

describe("a client", () => {
  it("returns the body of a success", async () => {
    answer(200, { items: [], next_cursor: null }, { "Content-Type": "application/json" });
    expect(await products()).toEqual({ items: [], next_cursor: null });
  });

  it("throws the problem in the answer, with its Retry-After", async () => {
    const problem = { type: "/problems/overloaded", title: "Overloaded", status: 503, trace_id: "t" };
    answer(503, problem, { "Retry-After": "3", "Content-Type": "application/problem+json" });
    const error = await products().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ProblemError);
    expect(error).toMatchObject({ slug: "overloaded", status: 503, retryAfterS: 3 });
  });

  it("turns an error page that is not a problem into one", async () => {
    vi.stubGlobal("fetch", async () => new Response("<html>", { status: 502, statusText: "Bad Gateway" }));
    await expect(products()).rejects.toMatchObject({ status: 502, problem: { title: "Bad Gateway" } });
  });

  it("throws NoAnswerError when no answer comes", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    await expect(products()).rejects.toBeInstanceOf(NoAnswerError);
  });

  const brokenOff = (status: number) => () => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"items":['));
        controller.error(new TypeError("network error"));
      },
    });
    return new Response(body, { status, headers: { "Content-Length": "100" } });
  };
  it.each([
    ["breaks off", brokenOff(200)],
    ["breaks off in a problem", brokenOff(409)],
    ["is a page of a proxy or portal", () => new Response("<html>Sign in</html>")],
    ["is cut in half", () => new Response('{"items":[', { headers: { "Content-Length": "10" } })],
  ])("treats an answer that %s as no answer", async (_, make) => {
    vi.stubGlobal("fetch", async () => make());
    const calls = [products, () => answered(sales.GET("/api/v1/products")), () => requestJson("/session")];
    for (const call of calls) {
      const error = await call().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(NoAnswerError);
      expect(shouldRetry(0, error)).toBe(true);
    }
  });

  it("throws no NoAnswerError once the caller has cancelled, even in mid-body", async () => {
    const cancel = new AbortController();
    vi.stubGlobal("fetch", async () => {
      cancel.abort();
      return brokenOff(200)();
    });
    const call = ok(sales.GET("/api/v1/products", { signal: cancel.signal }));
    const error = await call.catch((thrown: unknown) => thrown);
    expect(error).not.toBeInstanceOf(NoAnswerError);
  });

  it("accepts a success without a body", async () => {
    vi.stubGlobal("fetch", async () => new Response(null, { status: 204 }));
    expect(await requestJson("/session", "DELETE")).toBeUndefined();
  });
});

describe("a retry", () => {
  const problem = (status: number, retryAfterS?: number) =>
    new ProblemError({ type: "/problems/x", title: "x", status }, retryAfterS);

  it("is made only if the request was not at fault", () => {
    expect([500, 502, 503, 408, 429].every((status) => isTemporary(problem(status)))).toBe(true);
    expect([400, 401, 403, 404, 409, 422].some((status) => shouldRetry(0, problem(status)))).toBe(false);
    const foreign = new ProblemError({ type: "about:blank", title: "Not Found", status: 404 }, undefined);
    expect(isTemporary(foreign)).toBe(true);
    expect(shouldRetry(0, new NoAnswerError("cut"))).toBe(true);
    expect(shouldRetry(3, new NoAnswerError("cut"))).toBe(false);
    expect(shouldRetry(0, new TypeError("a bug"))).toBe(false);
  });

  it("waits as long as Retry-After asks, up to a limit", () => {
    expect(retryDelay(0, problem(503, 4))).toBe(4_000);
    expect(retryDelay(0, problem(503, 4_000))).toBe(30_000);
    expect(retryDelay(0, problem(503))).toBe(500);
    expect(retryDelay(2, new NoAnswerError("cut"))).toBe(2_000);
  });

  it("reads Retry-After in both its forms", () => {
    expect(retryAfter("2")).toBe(2);
    expect(retryAfter("Thu, 01 Jan 2026 00:00:10 GMT", Date.parse("2026-01-01T00:00:00Z"))).toBe(10);
    expect(retryAfter("Thu, 01 Jan 2026 00:00:10 GMT", Date.parse("2026-01-02T00:00:00Z"))).toBe(0);
    expect([null, "", "soon"].map((header) => retryAfter(header))).toEqual([undefined, undefined, undefined]);
  });
});

describe("an idempotency key", () => {
  it("is new each time", () => {
    expect(newKey()).toMatch(/^[0-9a-f]{32}$/);
    expect(newKey()).not.toBe(newKey());
  });
});
