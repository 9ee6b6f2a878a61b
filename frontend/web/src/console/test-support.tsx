/** Renders the console in tests, with responses from the test and without a network. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, RouterProvider } from "@tanstack/react-router";
import { render } from "@testing-library/react";
import { vi } from "vitest";
import { startI18n } from "../common/i18n";
import en from "./i18n/en.json";
import ko from "./i18n/ko.json";
import { makeRouter } from "./router";
import type { Operator } from "./session";

/** A request that the console has made. */
export interface Asked {
  url: URL;
  method: string;
  body: unknown;
  headers: Headers;
}

type Handler = (asked: Asked) => unknown;
/** `GET /sales/api/v1/orders` -> a body, a `Response`, or an error to throw. */
export type Handlers = Record<string, Handler>;

export const page = (items: unknown[], next_cursor: string | null = null) => ({ items, next_cursor });

/** A response that is held until the test releases it, so that the state before it can be checked. */
export function held<T>(body: T): { answer: Promise<T>; release(): void } {
  let release = () => {};
  const answer = new Promise<T>((resolve) => {
    release = () => resolve(body);
  });
  return { answer, release: () => release() };
}

export function problem(status: number, slug: string, detail: string, more: object = {}): Response {
  const body = {
    type: `/problems/${slug}`,
    title: slug,
    status,
    detail,
    trace_id: "948201e16e0450bf03af103fe5fca74b",
    ...more,
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/problem+json" },
  });
}

export const OPERATOR: Operator = { name: "kim", role: "operator" };
export const VIEWER: Operator = { name: "lee", role: "viewer" };

/** An open event stream that sends nothing by itself. */
class QuietEventSource extends EventTarget {
  static newest: QuietEventSource | undefined;
  static readonly CLOSED = 2;
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor() {
    super();
    QuietEventSource.newest = this;
    queueMicrotask(() => this.onopen?.());
  }
  close() {
    this.readyState = 2;
  }
}

/** Renders a page of the console. Requests without a handler return an empty list page. */
export function renderConsole(path: string, operator: Operator | null, handlers: Handlers = {}) {
  const asked: Asked[] = [];
  const all: Handlers = {
    "GET /session": () => ({ operator }),
    "GET /settings.json": () => ({ console: true, demo: false, provider: null, version: "0.1.0" }),
    ...handlers,
  };
  vi.stubGlobal("EventSource", QuietEventSource);
  vi.stubGlobal("scrollTo", () => {});
  vi.stubGlobal("fetch", async (input: Request | string, init?: RequestInit) => {
    const request = typeof input === "string" ? new Request(new URL(input, location.href), init) : input;
    const url = new URL(request.url);
    const text = await request.text();
    const one = {
      url,
      method: request.method,
      body: text === "" ? undefined : JSON.parse(text),
      headers: request.headers,
    };
    asked.push(one);
    const handler = all[`${request.method} ${url.pathname}`];
    const answer = handler ? await handler(one) : url.pathname.endsWith("/audit") ? AUDIT : page([]);
    if (answer instanceof Error) throw answer;
    return answer instanceof Response ? answer : Response.json(answer);
  });
  localStorage.setItem("jaego.language", "en");
  startI18n({ namespace: "console", ko, en });
  const router = makeRouter(createMemoryHistory({ initialEntries: [`/console${path}`] }));
  const client = new QueryClient({
    defaultOptions: { queries: { retry: false }, mutations: { retry: false } },
  });
  const view = render(
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
  return {
    ...view,
    router,
    asked,
    /** Sends an event on the live stream. */
    say: (name: string, data: object = {}) => {
      const event = { type: name, id: "e", time: "2026-11-22T10:00:00Z", data };
      QuietEventSource.newest?.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(event) }));
    },
    of: (method: string, ending: string) =>
      asked.filter((one) => one.method === method && one.url.pathname.endsWith(ending)),
  };
}

const AUDIT = { as_of: "2026-11-22T10:00:00Z", ok: true, checks: [], totals: [] };
