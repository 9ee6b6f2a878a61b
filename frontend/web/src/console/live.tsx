/** The console's one stream of events: it keeps every page fresh and counts what flows. */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef } from "react";
import {
  type ConsoleEvent,
  type ConsoleEventName,
  type LiveState,
  refetchInterval,
  useConsoleLive,
} from "../common/live";
import { countedIn, type Station, staleAfter } from "./logic/events";
import { RateMeter } from "./logic/rates";

/** In a surge there are hundreds of events a second: lists are looked at again once in this time. */
const GATHER_MS = 1_000;
/** Of the newest events, so many are kept to be shown. */
const RECENT_MAX = 50;

export interface RecentEvent {
  name: ConsoleEventName;
  event: ConsoleEvent;
}

interface Live {
  state: LiveState;
  meter: RateMeter<Station>;
  /** The newest events, newest first; not a state: pages that show it look at it by the clock. */
  recent: RecentEvent[];
}

const Context = createContext<Live>({ state: "connecting", meter: new RateMeter(), recent: [] });

export function useLiveEvents(): Live {
  return useContext(Context);
}

/** How often queries look again by themselves: seldom while events flow. */
export function useLiveInterval(): number {
  return refetchInterval(useContext(Context).state);
}

const nothing = () => [];

export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const meter = useRef(new RateMeter<Station>());
  const recent = useRef<RecentEvent[]>([]);
  const stale = useRef(new Set<string>());
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const flush = () => {
    timer.current = undefined;
    for (const key of stale.current) void client.invalidateQueries({ queryKey: JSON.parse(key) });
    stale.current.clear();
  };
  const state = useConsoleLive(true, nothing, (name, event) => {
    for (const [station, count] of countedIn(name, event)) meter.current.add(station, count);
    recent.current = [{ name, event }, ...recent.current].slice(0, RECENT_MAX);
    for (const key of staleAfter(name)) stale.current.add(JSON.stringify(key));
    timer.current ??= setTimeout(flush, GATHER_MS);
  });
  const live = useMemo(
    () => ({
      state,
      meter: meter.current,
      get recent() {
        return recent.current;
      },
    }),
    [state],
  );
  return <Context value={live}>{children}</Context>;
}
