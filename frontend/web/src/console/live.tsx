/** The console's single event stream: it keeps every page current and feeds the counters. */
import { createContext, type ReactNode, useContext, useMemo, useRef } from "react";
import {
  type ConsoleEvent,
  type ConsoleEventName,
  type LiveState,
  refetchInterval,
  useConsoleLive,
} from "../common/live";
import { countedIn, type Station, staleAfter } from "./logic/events";
import { RateMeter } from "./logic/rates";

/** Number of recent events kept for display. */
const RECENT_MAX = 50;

export interface RecentEvent {
  name: ConsoleEventName;
  event: ConsoleEvent;
}

interface Live {
  state: LiveState;
  meter: RateMeter<Station>;
  /** The latest events, newest first. Not React state: pages that show it poll it. */
  recent: RecentEvent[];
}

const Context = createContext<Live>({ state: "connecting", meter: new RateMeter(), recent: [] });

export function useLiveEvents(): Live {
  return useContext(Context);
}

/** Polling interval of queries: long while events arrive. */
export function useLiveInterval(): number {
  return refetchInterval(useContext(Context).state);
}

export function LiveProvider({ children }: { children: ReactNode }) {
  const meter = useRef(new RateMeter<Station>());
  const recent = useRef<RecentEvent[]>([]);
  const state = useConsoleLive(true, staleAfter, (name, event) => {
    for (const [station, count] of countedIn(name, event)) meter.current.add(station, count);
    recent.current = [{ name, event }, ...recent.current].slice(0, RECENT_MAX);
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
