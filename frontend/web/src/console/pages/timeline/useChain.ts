import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ok, production, restock, sales } from "../../../common/api";
import type { Service } from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { type Chain, chainOf, ordersIn, requestsIn, type Timeline } from "../../logic/timeline";

export type About = { order: string } | { request: string };

interface Told {
  /** Undefined until the first part has come. */
  chain: Chain | undefined;
  orders: string[];
  requests: string[];
  /** Parts that could not be had: the others are shown all the same. */
  errors: { service: Service; error: Error }[];
  isPending: boolean;
  retry(): void;
}

/** Asks sales first, which knows an order's requests, then the other two at the same time. */
export function useChain(about: About): Told {
  const refetchInterval = useLiveInterval();
  const own = useQuery({
    queryKey: [...KEYS.timeline, "sales", about],
    queryFn: ({ signal }) => ok(sales.GET("/api/v1/timeline", { params: { query: about }, signal })),
    refetchInterval,
  });
  const found = useMemo(() => (own.data ? requestsIn(own.data) : []), [own.data]);
  const requests = "request" in about ? [about.request] : found;
  const query = { request: requests.join() };
  const isAsked = requests.length > 0;
  const making = useQuery({
    queryKey: [...KEYS.timeline, "production", query.request],
    queryFn: ({ signal }) => ok(production.GET("/api/v1/timeline", { params: { query }, signal })),
    enabled: isAsked,
    refetchInterval,
  });
  const arriving = useQuery({
    queryKey: [...KEYS.timeline, "restock", query.request],
    queryFn: ({ signal }) => ok(restock.GET("/api/v1/timeline", { params: { query }, signal })),
    enabled: isAsked,
    refetchInterval,
  });
  const parts = [
    ["sales", own],
    ["production", making],
    ["restock", arriving],
  ] as const;
  const told: (Timeline | undefined)[] = parts.map(([, part]) => part.data);
  const chain = useMemo(
    () => {
      const known = told.filter((part) => part !== undefined);
      return known.length === 0 ? undefined : chainOf(known);
    },
    // biome-ignore lint/correctness/useExhaustiveDependencies: the list is new each time, its members are not.
    told,
  );
  return {
    chain,
    orders: own.data ? ordersIn(own.data) : [],
    requests: found,
    errors: parts.flatMap(([service, { error }]) => (error ? [{ service, error }] : [])),
    isPending: parts.some(([, part]) => part.isLoading),
    retry: () => {
      for (const [, part] of parts) if (part.isError) void part.refetch();
    },
  };
}
