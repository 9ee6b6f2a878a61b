import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { ComponentType, ReactNode } from "react";
import { useMemo } from "react";

export type ConsolePath =
  | "/"
  | "/products"
  | "/products/$sku"
  | "/orders"
  | "/replenishments"
  | "/requests"
  | "/requests/$id"
  | "/factories"
  | "/factories/$id"
  | "/receipts"
  | "/quarantine"
  | "/dead-letters"
  | "/audit-log"
  | "/audit"
  | "/timeline"
  | "/tokens"
  | "/sessions"
  | "/demo";

/** Search parameters, all strings. */
export type Search = Record<string, string | undefined>;

export interface ToProps {
  to: ConsolePath;
  params?: Record<string, string>;
  search?: Search;
  className?: string;
  "aria-label"?: string;
  children: ReactNode;
}

// The project has two routers, so neither is registered with the library's types; paths are checked here.
const AnyLink = Link as unknown as ComponentType<ToProps & { activeOptions?: { exact: boolean } }>;

export function To(props: ToProps) {
  return <AnyLink {...props} activeOptions={{ exact: props.to === "/" }} />;
}

/** Removes empty parameters, so that URLs stay short. */
export function tidy(search: Search): Search {
  return Object.fromEntries(
    Object.entries(search).filter(([, value]) => value !== undefined && value !== ""),
  );
}

/** The filters in the URL, and functions to change them. A change returns to the first page. */
export function useFilters() {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  return useMemo(() => {
    const go = (next: Search) => void navigate({ to: ".", search: tidy(next) } as never);
    return {
      search,
      set: (changes: Search) => go({ ...search, cursor: undefined, ...changes }),
      goTo: (cursor: string | undefined) => go({ ...search, cursor }),
    };
  }, [search, navigate]);
}
