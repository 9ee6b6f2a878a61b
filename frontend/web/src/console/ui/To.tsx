import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { ComponentType, ReactNode } from "react";
import { useMemo } from "react";

/** Every page of the console. */
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
  | "/demo";

/** What stands after the question mark: texts only. */
export type Search = Record<string, string | undefined>;

export interface ToProps {
  to: ConsolePath;
  params?: Record<string, string>;
  search?: Search;
  className?: string;
  "aria-label"?: string;
  children: ReactNode;
}

// Two routers live in this project, so none is registered with the library's types: paths are checked here.
const AnyLink = Link as unknown as ComponentType<ToProps & { activeOptions?: { exact: boolean } }>;

/** A link to another page of the console. */
export function To(props: ToProps) {
  return <AnyLink {...props} activeOptions={{ exact: props.to === "/" }} />;
}

/** Without what is not set, so that addresses stay short. */
export function tidy(search: Search): Search {
  return Object.fromEntries(
    Object.entries(search).filter(([, value]) => value !== undefined && value !== ""),
  );
}

/** The filters in the address, and how to change them: a change begins again at the first page. */
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
