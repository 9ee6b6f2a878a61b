import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext } from "react";
import { type LiveState, useShopLive } from "../common/live";
import { staleAfter } from "./data";
import { useKept } from "./kept";
import { keptOrders, waiting } from "./orders/own-orders";

const Live = createContext<LiveState>("connecting");

/** One stream for the whole page: all stock changes, the displayed order, and the shopper's waiting orders. */
export function LiveProvider({
  shownOrder,
  children,
}: {
  shownOrder: string | undefined;
  children: ReactNode;
}) {
  const own = waiting(useKept(keptOrders));
  const watched = shownOrder ? [shownOrder, ...own.filter((id) => id !== shownOrder)] : own;
  const client = useQueryClient();
  const state = useShopLive(watched, staleAfter(client));
  return <Live value={state}>{children}</Live>;
}

export function useLiveState(): LiveState {
  return useContext(Live);
}
