import { expect, it } from "vitest";
import type { SalesComponents } from "../../common/api";
import { historyOf, uuidTime } from "./history";

type Schemas = SalesComponents["schemas"];

const start = Date.parse("2026-11-22T10:00:00Z");
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
const idAt = (seconds: number) => {
  const hex = (start + seconds * 1000).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000001`;
};
const movement = (seconds: number, cause: Schemas["MovementCause"], delta: number, reference = "x") =>
  ({ cause, delta, reference, at: at(seconds) }) as Schemas["MovementEntry"];
const replenishment = (
  seconds: number,
  status: Schemas["ReplenishmentStatus"],
  quantity: number,
  received = 0,
) => ({ status, quantity, received, created_at: at(seconds) }) as Schemas["Replenishment"];

it("reads the time of an id", () => {
  expect(uuidTime(idAt(5))).toBe(start + 5000);
  expect(uuidTime("adjustment by kim")).toBeUndefined();
});

it("goes back from now: a sale, a replenishment, goods that fill a waiting order", () => {
  const order = idAt(20);
  const history = historyOf(
    { sku: "A", on_hand: 8, position: 8, ms: start + 100_000 },
    [
      movement(0, "correction", 3),
      movement(10, "sale", -3),
      movement(60, "receipt", 10),
      movement(60, "backorder_fill", -2, order),
    ],
    [replenishment(10, "complete", 10, 10)],
    [],
  );
  expect(history.at.map((second) => Math.round(second * 1000 - start))).toEqual([
    -1, 0, 10_000, 20_000, 60_000, 100_000,
  ]);
  expect(history.on_hand).toEqual([0, 3, 0, 0, 8, 8]);
  expect(history.position).toEqual([0, 3, 10, 8, 8, 8]);
});

it("counts what waits now, and leaves out what was withdrawn or only proposed", () => {
  const waiting = {
    created_at: at(30),
    lines: [
      { sku: "A", quantity: 5, filled: 1 },
      { sku: "B", quantity: 9, filled: 0 },
    ],
  } as Schemas["Order"];
  const history = historyOf(
    { sku: "A", on_hand: 0, position: -4, ms: start + 100_000 },
    [movement(0, "correction", 1), movement(30, "sale", -1)],
    [replenishment(40, "refused", 10), replenishment(50, "proposed", 10)],
    [waiting],
  );
  expect(history.on_hand).toEqual([0, 1, 0, 0]);
  expect(history.position).toEqual([0, 1, -4, -4]);
});

it("is one point when nothing ever moved", () => {
  const history = historyOf({ sku: "A", on_hand: 0, position: 0, ms: start }, [], [], []);
  expect(history).toEqual({ at: [start / 1000], on_hand: [0], position: [0] });
});
