import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ok, production, restock, sales } from "../../../common/api";
import type { Service } from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import {
  type Chain,
  chainOf,
  ordersIn,
  questionsAbout,
  requestsIn,
  type Timeline,
} from "../../logic/timeline";

export type About = { order: string } | { request: string };

interface LoadedChain {
  /** Undefined until the first part has loaded. */
  chain: Chain | undefined;
  orders: string[];
  /** The requests that were queried. */
  requests: string[];
  /** Parts that failed to load; the others are shown nevertheless. */
  errors: { service: Service; error: Error }[];
  isPending: boolean;
  retry(): void;
}

/** Queries sales-service first, which knows an order's requests, then the other two in parallel. */
export function useChain(about: About): LoadedChain {
  const refetchInterval = useLiveInterval();
  const own = useQuery({
    queryKey: [...KEYS.timeline, "sales", about],
    queryFn: ({ signal }) => ok(sales.GET("/api/v1/timeline", { params: { query: about }, signal })),
    refetchInterval,
  });
  const found = useMemo(() => (own.data ? requestsIn(own.data) : []), [own.data]);
  const { questions, truncated } = questionsAbout("request" in about ? [about.request] : found);
  const asked = questions.map((ids) => ids.join());
  const isAsked = asked.length > 0;
  const making = useQuery({
    queryKey: [...KEYS.timeline, "production", ...asked],
    queryFn: ({ signal }) =>
      inTurn(asked, (request) =>
        ok(production.GET("/api/v1/timeline", { params: { query: { request } }, signal })),
      ),
    enabled: isAsked,
    refetchInterval,
  });
  const arriving = useQuery({
    queryKey: [...KEYS.timeline, "restock", ...asked],
    queryFn: ({ signal }) =>
      inTurn(asked, (request) =>
        ok(restock.GET("/api/v1/timeline", { params: { query: { request } }, signal })),
      ),
    enabled: isAsked,
    refetchInterval,
  });
  const parts = [
    ["sales", own],
    ["production", making],
    ["restock", arriving],
  ] as const;
  const chain = useMemo(() => {
    const loaded = [own.data, making.data, arriving.data].flat().filter((part) => part !== undefined);
    if (loaded.length === 0) return undefined;
    const whole = chainOf(loaded);
    return { ...whole, truncated: whole.truncated || truncated };
  }, [own.data, making.data, arriving.data, truncated]);
  return {
    chain,
    orders: own.data ? ordersIn(own.data) : [],
    requests: questions.flat(),
    errors: parts.flatMap(([service, { error }]) => (error ? [{ service, error }] : [])),
    isPending: parts.some(([, part]) => part.isLoading),
    retry: () => {
      for (const [, part] of parts) if (part.isError) void part.refetch();
    },
  };
}

/** Runs the queries one after the other: they share one bounded connection pool of the service. */
async function inTurn(
  questions: readonly string[],
  ask: (question: string) => Promise<Timeline>,
): Promise<Timeline[]> {
  const answers: Timeline[] = [];
  for (const question of questions) answers.push(await ask(question));
  return answers;
}
