import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type LiveHandlers, openLive } from "./live";

/** An EventSource that the test speaks through. */
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
  it("tells of events, and survives one that cannot be read", () => {
    const told = handlers();
    const close = openLive("/live", told);
    newest().open();
    newest().say("stock", '{"sku":"A"}');
    newest().say("stock", "{");
    newest().say("other", "{}");
    expect(told.onEvent.mock.calls).toEqual([
      ["stock", { sku: "A" }],
      ["stock", undefined],
    ]);
    expect(told.onLost).not.toHaveBeenCalled();
    close();
    expect(newest().readyState).toBe(Source.CLOSED);
  });

  it("counts everything as changed when events were lost, after a new connection, and when the broker is back", () => {
    const told = handlers();
    const close = openLive("/live", told);
    newest().open();
    newest().say("lost");
    newest().fail(0);
    newest().open();
    newest().say("offline");
    newest().say("online");
    expect(told.onLost).toHaveBeenCalledTimes(3);
    expect(told.onState.mock.calls.flat()).toEqual(["online", "offline", "online", "offline", "online"]);
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
