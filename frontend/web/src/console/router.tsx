import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouterHistory,
} from "@tanstack/react-router";
import { Skeleton } from "../common/ui/Skeleton";
import { NotFound } from "./NotFound";
import { Shell } from "./Shell";
import type { ConsolePath, Search } from "./ui/To";

/** Search parameters are strings: nothing is parsed as a number or as JSON. */
function readSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}

function writeSearch(search: Record<string, unknown>): string {
  const set = Object.entries(search).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString();
  return text === "" ? "" : `?${text}`;
}

const rootRoute = createRootRoute({ component: Shell, notFoundComponent: NotFound });

// Pages other than the first are loaded on demand.
type Load = () => Promise<Record<string, unknown>>;
function page(path: ConsolePath, load: Load, name: string) {
  const component = lazyRouteComponent(load as never, name as never);
  return createRoute({
    getParentRoute: () => rootRoute,
    path,
    component,
    validateSearch: (search) => search as Search,
  });
}

const pages = [
  page("/", () => import("./pages/overview/Overview"), "Overview"),
  page("/products", () => import("./pages/products/Products"), "Products"),
  page("/products/$sku", () => import("./pages/products/Product"), "Product"),
  page("/orders", () => import("./pages/Orders"), "Orders"),
  page("/replenishments", () => import("./pages/Replenishments"), "Replenishments"),
  page("/requests", () => import("./pages/requests/Requests"), "Requests"),
  page("/requests/$id", () => import("./pages/requests/RequestAlone"), "RequestAlone"),
  page("/factories", () => import("./pages/factories/Factories"), "Factories"),
  page("/factories/$id", () => import("./pages/factories/FactoryAlone"), "FactoryAlone"),
  page("/receipts", () => import("./pages/Receipts"), "Receipts"),
  page("/quarantine", () => import("./pages/Quarantine"), "Quarantine"),
  page("/dead-letters", () => import("./pages/dead-letters/DeadLetters"), "DeadLetters"),
  page("/audit-log", () => import("./pages/AuditLog"), "AuditLog"),
  page("/audit", () => import("./pages/Audit"), "Audit"),
  page("/timeline", () => import("./pages/timeline/Timeline"), "Timeline"),
  page("/tokens", () => import("./pages/Tokens"), "Tokens"),
  page("/sessions", () => import("./pages/Sessions"), "Sessions"),
  page("/demo", () => import("./pages/demo/Demo"), "Demo"),
];

/** All pages below `/console`; tests pass their own history. */
export function makeRouter(history?: RouterHistory) {
  return createRouter({
    routeTree: rootRoute.addChildren(pages),
    basepath: "/console",
    parseSearch: readSearch,
    stringifySearch: writeSearch,
    defaultPreload: "intent",
    defaultPendingComponent: () => <Skeleton size="block" />,
    ...(history ? { history } : {}),
  });
}
