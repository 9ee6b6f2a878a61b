/**
 * Live events by EventSource. An event only invalidates queries; the data on the pages comes from the APIs. While no
 * events arrive (connection or broker down) the pages poll.
 */
import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

export type LiveState = "connecting" | "online" | "offline";

/** Polling interval while events arrive (a safety net), and while they do not. */
const REFETCH_MS = { online: 60_000, connecting: 5_000, offline: 5_000 };
/** Backoff after a refused stream (503, a deployment): 2 s, 4 s, .. */
const RECONNECT_MS_MIN = 2_000;
const RECONNECT_MS_MAX = 30_000;
/** Events are batched into one refetch, at a random delay so that browsers do not all refetch at once. */
const GATHER_MS = 100;
const SPREAD_MS = 200;
/** After a gap everything is refetched, and a deployment causes a gap in all browsers at once. */
const LOST_SPREAD_MS = 1_000;
/** Minimum time between two refetches: a surge of orders must not cause a surge of reads. */
const GAP_MS = 1_000;
/** A page closes its stream after being hidden this long: browsers allow few connections to one server. */
const HIDDEN_MS = 60_000;

/** `refetchInterval` for queries that live events keep fresh. */
export function refetchInterval(state: LiveState): number {
  return REFETCH_MS[state];
}

export interface LiveHandlers {
  events: readonly string[];
  onEvent(name: string, data: unknown): void;
  /** Events were lost (slow browser, new connection, broker recovered): everything may have changed. */
  onLost(): void;
  onState(state: LiveState): void;
}

/** Opens a stream and keeps it open. Returns a function that closes it. */
export function openLive(url: string, handlers: LiveHandlers): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;

  const connect = () => {
    source = new EventSource(url);
    source.onopen = () => {
      failures = 0;
      handlers.onState("online");
      // Also on the first connection: the page's data may have been read before the stream was open.
      handlers.onLost();
    };
    source.onerror = () => {
      handlers.onState("offline");
      // The browser reconnects by itself unless the response was not an event stream.
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
  // Reconnect at once, without the backoff, when the network is back or the page is visible again.
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

/** Maps an event to the keys of the queries that it makes stale. */
export type Invalidates = (name: string, data: unknown) => readonly QueryKey[];

interface LiveOptions {
  events: readonly string[];
  invalidates: Invalidates;
  /** For pages that show events themselves. */
  onEvent?: ((name: string, data: unknown) => void) | undefined;
}

/** The empty prefix: matches every query. */
const EVERYTHING: QueryKey = [];

/** Invalidates cached queries on the events of `url`. No stream is open while `url` is null. */
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
        // A query in flight may return data from before the event, so it is refetched in a later round. It is not
        // cancelled: on a slow connection, cancelling at each event would keep it from ever finishing.
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
      // Queries that are still marked stale must be refetched by the pages that remain. The timeout lets components
      // that unmount together with the stream leave first, so that they do not refetch.
      setTimeout(() => {
        for (const queryKey of stale.values()) void client.invalidateQueries({ queryKey });
      });
    };
  }, [url, events, client]);
  return state;
}

/** Maximum number of orders that one stream of the shop watches. */
export const SHOP_ORDERS_MAX = 20;

/** The shop's stream: all stock changes, and this shopper's orders (the first 20 ids). */
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

export interface ConsoleEvent {
  type: string;
  id: string;
  time: string;
  data: Record<string, unknown>;
}

/** The console's stream: every event. It is open only while an operator is signed in. */
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
