import { expect, it } from "vitest";
import { RateMeter } from "./rates";

it("counts the last minute and forgets what is older", () => {
  const start = 1_800_000_000_000;
  const meter = new RateMeter<"orders" | "receipts">(start);
  meter.add("orders", 5, start);
  meter.add("orders", 2, start + 500);
  meter.add("orders", 1, start + 30_000);
  expect(meter.total("orders", start + 30_000)).toBe(8);
  expect(meter.total("orders", start + 59_999)).toBe(8);
  expect(meter.total("orders", start + 60_000)).toBe(1);
  expect(meter.total("orders", start + 120_000)).toBe(0);
  expect(meter.total("receipts", start)).toBe(0);
});

it("uses a place again after a minute", () => {
  const start = 1_800_000_000_000;
  const meter = new RateMeter<"orders">(start);
  meter.add("orders", 5, start);
  meter.add("orders", 1, start + 60_000);
  expect(meter.total("orders", start + 60_000)).toBe(1);
});

it("knows for how long it has watched", () => {
  const meter = new RateMeter(0);
  expect([0, 10_000, 600_000].map((now) => meter.watchedS(now))).toEqual([1, 10, 60]);
});
