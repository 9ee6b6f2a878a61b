/**
 * Live events by EventSource. An event says "look again": queries are invalidated, what is shown comes from
 * the APIs. While the events do not flow (connection or broker away) the pages look again by the clock.
 */
import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

export type LiveState = "connecting" | "online" | "offline";

/** How often pages look again when events flow (a net below the net), and when they do not. */
const REFETCH_MS = { online: 60_000, connecting: 5_000, offline: 5_000 };
/** A stream that was refused (503, a deployment) is asked for again after 2 s, 4 s, .. */
const RECONNECT_MS_MIN = 2_000;
const RECONNECT_MS_MAX = 30_000;
/** Events of one moment cause one refetch; many browsers do not ask in the same moment. */
const GATHER_MS = 100;
const SPREAD_MS = 200;
/** After a gap everything is asked for again, and a deployment is a gap for all browsers at once. */
const LOST_SPREAD_MS = 1_000;
/** Least time between two refetches: a rush on the shop must not become a rush of its readers. */
const GAP_MS = 1_000;
/** A page that nobody has looked at for so long gives its stream back: browsers open few of them at a time. */
const HIDDEN_MS = 60_000;

/** `refetchInterval` for queries that live events keep fresh. */
export function refetchInterval(state: LiveState): number {
  return REFETCH_MS[state];
}

/** What an open stream reports. */
export interface LiveHandlers {
  /** Names of the events to listen for. */
  events: readonly string[];
  onEvent(name: string, data: unknown): void;
  /** Events were lost (slow browser, any new connection, broker back): everything may have changed. */
  onLost(): void;
  onState(state: LiveState): void;
}

/** Opens a stream and keeps it open; answers how to end it. */
export function openLive(url: string, handlers: LiveHandlers): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;

  const connect = () => {
    source = new EventSource(url);
    source.onopen = () => {
      failures = 0;
      handlers.onState("online");
      // The first time, too: what the page shows may have been read before anybody listened.
      handlers.onLost();
    };
    source.onerror = () => {
      handlers.onState("offline");
      // The browser connects again by itself unless the answer was no event stream.
      if (source?.readyState !== EventSource.CLOSED) return;
      const delay = Math.min(RECONNECT_MS_MIN * 2 ** failures, RECONNECT_MS_MAX);
      failures += 1;
      timer = setTimeout(connect, delay * (0.75 + Math.random() / 2));
    };
    source.addEventListener("lost", () => handlers.onLost());
    source.addEventListener("offline", () => handlers.onState("offline"));
    source.addEventListener("online", () => {
      handlers.onState("online");
      handlers.onLost();
    });
    for (const name of handlers.events) {
      source.addEventListener(name, (event) => handlers.onEvent(name, parsed(event)));
    }
  };
  // Whoever comes back from no network need not wait for the next try.
  const hurry = () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    clearTimeout(timer);
    failures = 0;
    connect();
  };
  let sleep: ReturnType<typeof setTimeout> | undefined;
  const onVisibility = () => {
    clearTimeout(sleep);
    if (document.hidden) {
      sleep = setTimeout(() => {
        clearTimeout(timer);
        source?.close();
      }, HIDDEN_MS);
    } else {
      hurry();
    }
  };
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", onVisibility);
  connect();
  return () => {
    removeEventListener("online", hurry);
    document.removeEventListener("visibilitychange", onVisibility);
    clearTimeout(sleep);
    clearTimeout(timer);
    source?.close();
  };
}

function parsed(event: MessageEvent): unknown {
  try {
    return JSON.parse(String(event.data));
  } catch {
    return undefined;
  }
}

/** What a live hook is told about an event: which queries it makes stale. */
export type Invalidates = (name: string, data: unknown) => readonly QueryKey[];

interface LiveOptions {
  events: readonly string[];
  invalidates: Invalidates;
  /** For pages that show events themselves. */
  onEvent?: ((name: string, data: unknown) => void) | undefined;
}

/** The key that all keys begin with. */
const EVERYTHING: QueryKey = [];

/** Keeps the cache fresh by the events of `url`; nothing is opened while it is null. */
export function useLive(url: string | null, options: LiveOptions): LiveState {
  const [state, setState] = useState<LiveState>("connecting");
  const client = useQueryClient();
  const latest = useRef(options);
  latest.current = options;
  const events = options.events.join();

  useEffect(() => {
    if (url === null) return;
    setState("connecting");
    const stale = new Map<string, QueryKey>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const add = (key: QueryKey) => stale.set(JSON.stringify(key), key);
    const flush = () => {
      const keys = [...stale.values()];
      stale.clear();
      const all = new Set(keys.flatMap((queryKey) => client.getQueryCache().findAll({ queryKey })));
      for (const { queryKey, state } of all) {
        // Whoever is being answered may be told what was before: that query is asked in a later round. Cut off
        // by each event, a refetch on a slow line would never end.
        if (state.fetchStatus === "fetching") add(queryKey);
        else void client.invalidateQueries({ queryKey, exact: true });
      }
      timer = setTimeout(() => {
        timer = undefined;
        if (stale.size > 0) flush();
      }, GAP_MS);
    };
    const close = openLive(url, {
      events: events.split(","),
      onEvent(name, data) {
        latest.current.onEvent?.(name, data);
        for (const key of latest.current.invalidates(name, data)) add(key);
        if (stale.size > 0) timer ??= setTimeout(flush, GATHER_MS + Math.random() * SPREAD_MS);
      },
      onLost() {
        add(EVERYTHING);
        timer ??= setTimeout(flush, GATHER_MS + Math.random() * LOST_SPREAD_MS);
      },
      onState: setState,
    });
    return () => {
      clearTimeout(timer);
      close();
      // What the stream has told of is stale for who comes after it, too; who leaves with it asks no more.
      setTimeout(() => {
        for (const queryKey of stale.values()) void client.invalidateQueries({ queryKey });
      });
    };
  }, [url, events, client]);
  return state;
}

/** Most orders that one stream of the shop watches. */
export const SHOP_ORDERS_MAX = 20;

/** The shop's stream: all stock, and the orders of this shopper (the first 20 ids). */
export function useShopLive(orders: readonly string[], invalidates: Invalidates): LiveState {
  const ids = orders.slice(0, SHOP_ORDERS_MAX).toSorted().join();
  return useLive(ids === "" ? "/live" : `/live?orders=${ids}`, { events: ["stock", "order"], invalidates });
}

/** The routing keys of the console's stream. */
export const CONSOLE_EVENTS = [
  "order.confirmed",
  "order.backordered",
  "order.rejected",
  "order.fulfilled",
  "order.cancelled",
  "stock.changed",
  "stock.received",
  "production.requested",
  "production.accepted",
  "production.dead_lettered",
  "production.refused",
  "production.overdue",
  "production.cancelled",
  "replenishment.closed",
  "factory.changed",
] as const;
export type ConsoleEventName = (typeof CONSOLE_EVENTS)[number];

/** What comes with an event of the console's stream. */
export interface ConsoleEvent {
  type: string;
  id: string;
  time: string;
  data: Record<string, unknown>;
}

/** The console's stream: every event, for who is signed in. */
export function useConsoleLive(
  signedIn: boolean,
  invalidates: (name: ConsoleEventName, event: ConsoleEvent) => readonly QueryKey[],
  onEvent?: (name: ConsoleEventName, event: ConsoleEvent) => void,
): LiveState {
  const typed = <T>(handle: (name: ConsoleEventName, event: ConsoleEvent) => T) => {
    return (name: string, data: unknown) => handle(name as ConsoleEventName, data as ConsoleEvent);
  };
  return useLive(signedIn ? "/live/console" : null, {
    events: CONSOLE_EVENTS,
    invalidates: typed(invalidates),
    onEvent: onEvent && typed(onEvent),
  });
}
