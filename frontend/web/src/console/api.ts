/** Queries that several pages share. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import {
  type AccessComponents,
  access,
  ok,
  type ProductionComponents,
  production,
  type RestockComponents,
  restock,
  type SalesComponents,
  sales,
} from "../common/api";
import { useLiveInterval } from "./live";
import { KEYS } from "./logic/events";
import type { Waiting } from "./logic/flow";
import { type Count, countOf, filteredPage } from "./logic/paging";

export type Stock = SalesComponents["schemas"]["Stock"];
export type Movement = SalesComponents["schemas"]["MovementEntry"];
export type Order = SalesComponents["schemas"]["Order"];
export type OrderStatus = SalesComponents["schemas"]["OrderStatus"];
export type Replenishment = SalesComponents["schemas"]["Replenishment"];
export type ReplenishmentStatus = SalesComponents["schemas"]["ReplenishmentStatus"];
export type ProductionRequest = ProductionComponents["schemas"]["ProductionRequest"];
export type ProductionStatus = ProductionComponents["schemas"]["ProductionStatus"];
export type Factory = ProductionComponents["schemas"]["FactoryBody"];
export type Receipt = RestockComponents["schemas"]["Receipt"];
export type QuarantineEntry = RestockComponents["schemas"]["QuarantineEntry"];
export type AccessToken = AccessComponents["schemas"]["AccessToken"];
export type AccessSession = AccessComponents["schemas"]["Session"];
export type DeadLetter = SalesComponents["schemas"]["DeadLetter"];
export type DeadLetterGroup = SalesComponents["schemas"]["DeadLetterGroup"];
export type AuditReport = SalesComponents["schemas"]["AuditReport"];
export type AuditLogEntry = SalesComponents["schemas"]["AuditLogEntry"];

/** The services that exchange messages share the routes for dead letters, audit and timeline. */
export const SERVICES = ["sales", "production", "restock"] as const;
export type Service = (typeof SERVICES)[number];

/** Every service has an audit log. */
export const LOGGING = [...SERVICES, "access"] as const;
export type Logging = (typeof LOGGING)[number];

/** Page size of the console's lists. */
export const PAGE = 50;
/** Largest page that the services return; used for counts. */
export const PAGE_MAX = 200;

export function isService(text: string | undefined): text is Service {
  return SERVICES.some((service) => service === text);
}

export function isLogging(text: string | undefined): text is Logging {
  return LOGGING.some((service) => service === text);
}

/**
 * The client of a service, for the routes that several have. They are defined once, in a shared module of the
 * services; a union of clients could not express that.
 */
export function sharedClient(service: Logging): typeof sales {
  return { sales, production, restock, access }[service] as unknown as typeof sales;
}

/** A page of a product's ledger. With another `Accept` header the same route returns the whole ledger as CSV. */
export async function fetchMovements(
  sku: string,
  query: { limit: number; cursor?: string },
  signal: AbortSignal,
) {
  const page = await ok(
    sales.GET("/api/v1/stock/{sku}/movements", { params: { path: { sku }, query }, signal }),
  );
  return page as Exclude<typeof page, string>;
}

/** The number of production requests that match a filter, and the oldest of them if one page contains them all. */
export function useRequestCount(filter: { status?: ProductionStatus; overdue?: boolean }, name: string) {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.requests, "count", name],
    queryFn: async ({ signal }): Promise<Waiting> => {
      const query = { ...filter, limit: PAGE_MAX };
      const page = await ok(production.GET("/api/v1/production-requests", { params: { query }, signal }));
      const oldest = page.next_cursor === null ? page.items.at(-1)?.created_at : undefined;
      return { ...countOf(page), oldest };
    },
    refetchInterval,
  });
}

export function useReplenishmentCount(status: ReplenishmentStatus) {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.replenishments, "count", status],
    queryFn: async ({ signal }) =>
      countOf(
        await ok(
          sales.GET("/api/v1/replenishments", { params: { query: { status, limit: PAGE_MAX } }, signal }),
        ),
      ),
    refetchInterval,
  });
}

/** The number of quarantine entries that await a decision. */
export function useQuarantineCount() {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.quarantine, "count"],
    queryFn: async ({ signal }): Promise<Count> => {
      const page = await filteredPage(
        (cursor) =>
          ok(
            restock.GET("/api/v1/quarantine", {
              params: { query: { limit: PAGE_MAX, ...(cursor ? { cursor } : {}) } },
              signal,
            }),
          ),
        (entry) => entry.status === "waiting",
        undefined,
        PAGE_MAX,
      );
      return countOf(page);
    },
    refetchInterval,
  });
}

/** Groups of dead letters that await a decision. */
export function useDeadLetterGroups(service: Service) {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.deadLetters, service, "groups"],
    queryFn: ({ signal }) =>
      ok(
        sharedClient(service).GET("/api/v1/dead-letters/groups", {
          params: { query: { limit: PAGE_MAX } },
          signal,
        }),
      ),
    refetchInterval,
  });
}

/** The audit sums up whole ledgers, so it is requested rarely. */
const AUDIT_FRESH_MS = 5 * 60_000;
const AUDIT_LOOK_MS = 30_000;

export function useAudit(service: Service) {
  const client = useQueryClient();
  const query = useQuery({
    queryKey: [...KEYS.audit, service],
    queryFn: ({ signal }) => ok(sharedClient(service).GET("/api/v1/audit", { signal })),
    // Refetched only by a timer or by a person: lost events refetch all other queries at once.
    enabled: false,
  });
  const { refetch } = query;
  useEffect(() => {
    const look = () => {
      const at = client.getQueryState([...KEYS.audit, service])?.dataUpdatedAt ?? 0;
      if (Date.now() - at >= AUDIT_FRESH_MS) void refetch();
    };
    look();
    const timer = setInterval(look, AUDIT_LOOK_MS);
    return () => clearInterval(timer);
  }, [client, refetch, service]);
  return query;
}

export function useFactories() {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.factories, "all"],
    queryFn: ({ signal }) =>
      ok(production.GET("/api/v1/factories", { params: { query: { limit: PAGE_MAX } }, signal })),
    refetchInterval,
  });
}
