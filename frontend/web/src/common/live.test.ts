import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { renderHook } from "@testing-library/react";
import { createElement, type ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type LiveHandlers, openLive, useLive } from "./live";

/** An EventSource through which the test sends events. */
class Source extends EventTarget {
  static all: Source[] = [];
  static readonly CLOSED = 2;
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  open() {
    this.readyState = 1;
    this.onopen?.();
  }
  fail(readyState: number) {
    this.readyState = readyState;
    this.onerror?.();
  }
  say(name: string, data = "") {
    this.dispatchEvent(new MessageEvent(name, { data }));
  }
  close() {
    this.readyState = 2;
  }
}

function handlers() {
  return {
    events: ["stock"],
    onEvent: vi.fn<LiveHandlers["onEvent"]>(),
    onLost: vi.fn<LiveHandlers["onLost"]>(),
    onState: vi.fn<LiveHandlers["onState"]>(),
  };
}
const newest = () => Source.all.at(-1) as Source;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
  Source.all = [];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a live stream", () => {
  it("passes events on, and survives one that cannot be read", () => {
    const received = handlers();
    const close = openLive("/live", received);
    newest().open();
    newest().say("stock", '{"sku":"A"}');
    newest().say("stock", "{");
    newest().say("other", "{}");
    expect(received.onEvent.mock.calls).toEqual([
      ["stock", { sku: "A" }],
      ["stock", undefined],
    ]);
    expect(received.onLost).toHaveBeenCalledTimes(1);
    close();
    expect(newest().readyState).toBe(Source.CLOSED);
  });

  it("counts everything as changed when it opens, when events were lost, and when the broker is back", () => {
    const received = handlers();
    const close = openLive("/live", received);
    newest().open();
    newest().say("lost");
    newest().fail(0);
    newest().open();
    newest().say("offline");
    newest().say("online");
    expect(received.onLost).toHaveBeenCalledTimes(4);
    expect(received.onState.mock.calls.flat()).toEqual(["online", "offline", "online", "offline", "online"]);
    close();
  });

  it("is asked for again, later and later, when it is refused", () => {
    const close = openLive("/live", handlers());
    newest().fail(Source.CLOSED);
    vi.advanceTimersByTime(3_000);
    expect(Source.all).toHaveLength(2);
    newest().fail(Source.CLOSED);
    vi.advanceTimersByTime(2_900);
    expect(Source.all).toHaveLength(2);
    vi.advanceTimersByTime(2_200);
    expect(Source.all).toHaveLength(3);
    close();
    newest().fail(Source.CLOSED);
  });

  it("is asked for at once when the network is back", () => {
    const close = openLive("/live", handlers());
    newest().fail(Source.CLOSED);
    dispatchEvent(new Event("online"));
    expect(Source.all).toHaveLength(2);
    vi.advanceTimersByTime(60_000);
    expect(Source.all).toHaveLength(2);
    close();
  });
});

describe("a page with a live stream", () => {
  /** A page that shows one product; the shop takes `answerMs` to respond. */
  function page({ answerMs = 10 } = {}) {
    const client = new QueryClient();
    let read = 0;
    const queryFn = () => {
      const answer = ++read;
      return new Promise<number>((resolve) => setTimeout(() => resolve(answer), answerMs));
    };
    const invalidates = (_: string, data: unknown) => [["product", (data as { sku: string }).sku]];
    const shown = renderHook(
      ({ url }: { url: string }) => {
        useLive(url, { events: ["stock"], invalidates });
        return useQuery({ queryKey: ["product", "A"], queryFn }).data;
      },
      {
        initialProps: { url: "/live" },
        wrapper: ({ children }: { children: ReactNode }) =>
          createElement(QueryClientProvider, { client }, children),
      },
    );
    return { ...shown, reads: () => read };
  }

  it("reads again what it has read before the stream was open, once", async () => {
    const { reads } = page();
    await vi.advanceTimersByTimeAsync(50);
    expect(reads()).toBe(1);
    newest().open();
    expect(reads()).toBe(1);
    await vi.advanceTimersByTimeAsync(1_200);
    expect(reads()).toBe(2);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(reads()).toBe(2);
  });

  it("lets an answer come that was asked for before, and then reads again", async () => {
    const { reads, result } = page({ answerMs: 5_000 });
    newest().open();
    await vi.advanceTimersByTimeAsync(4_900);
    expect(reads()).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(result.current).toBe(1);
    await vi.advanceTimersByTimeAsync(6_100);
    expect(result.current).toBe(2);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(reads()).toBe(2);
  });

  it("reads again once for many gaps", async () => {
    const { reads } = page();
    newest().open();
    await vi.advanceTimersByTimeAsync(5_000);
    const before = reads();
    for (let gap = 0; gap < 10; gap += 1) newest().say("lost");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(reads()).toBe(before + 1);
  });

  it("counts a stream of another address as a gap, and keeps everything that the previous one sent", async () => {
    const { reads, rerender, unmount } = page();
    newest().open();
    await vi.advanceTimersByTimeAsync(5_000);
    const before = reads();
    newest().say("stock", '{"sku":"A"}');
    rerender({ url: "/live?orders=1" });
    await vi.advanceTimersByTimeAsync(50);
    expect(reads()).toBe(before + 1);
    newest().open();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(reads()).toBe(before + 2);
    unmount();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads()).toBe(before + 2);
  });
});
