import { expect, it } from "vitest";
import type { ConsoleEvent } from "../../common/live";
import { CONSOLE_EVENTS } from "../../common/live";
import { countedIn, staleAfter } from "./events";

const event = (data: Record<string, unknown>): ConsoleEvent => ({
  type: "x",
  id: "1",
  time: "2026-01-01T00:00:00Z",
  data,
});

it("counts all orders of a shortened list", () => {
  expect(countedIn("order.confirmed", event({ count: 700, orders: [{}, {}] }))).toEqual([["ordered", 700]]);
  expect(countedIn("order.rejected", event({ orders: [{}, {}] }))).toEqual([
    ["ordered", 2],
    ["rejected", 2],
  ]);
  expect(countedIn("stock.received", event({ quantity: 10 }))).toEqual([
    ["received", 1],
    ["receivedUnits", 10],
  ]);
});

it("has something to look at again for every event", () => {
  for (const name of CONSOLE_EVENTS) expect(staleAfter(name), name).not.toEqual([]);
});

it("looks for dead letters when one may have come or gone", () => {
  expect(staleAfter("production.dead_lettered")).toContainEqual(["dead-letters"]);
  expect(staleAfter("production.accepted")).toContainEqual(["dead-letters"]);
  expect(staleAfter("order.confirmed")).not.toContainEqual(["dead-letters"]);
});
