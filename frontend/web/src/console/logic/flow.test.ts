import { expect, it } from "vitest";
import { flowLayout, oldestOf } from "./flow";

it.each(["row", "column"] as const)(
  "keeps every station of a %s within the picture, one after the other",
  (direction) => {
    const layout = flowLayout(5, direction);
    expect(layout.boxes).toHaveLength(5);
    // Four steps, and the arrow back from the receipts to the stock.
    expect(layout.arrows).toHaveLength(5);
    for (const [place, box] of layout.boxes.entries()) {
      expect(box.x + box.width).toBeLessThanOrEqual(layout.width);
      expect(box.y + box.height).toBeLessThanOrEqual(layout.height);
      const before = layout.boxes[place - 1];
      if (before) {
        const gap = direction === "row" ? box.x - before.x - before.width : box.y - before.y - before.height;
        expect(gap).toBeGreaterThan(0);
      }
    }
  },
);

it("says that nothing waits only when that is known", () => {
  const at = "2026-11-22T10:00:00Z";
  const nothing = { value: 0, more: false, oldest: undefined };
  const some = { value: 2, more: false, oldest: at };
  const many = { value: 200, more: true, oldest: undefined };
  expect(oldestOf(undefined, nothing)).toBe("loading");
  expect(oldestOf(nothing, nothing)).toBe("none");
  expect(oldestOf(some, { ...some, oldest: "2026-11-22T10:00:01Z" })).toEqual({ ms: Date.parse(at) });
  // With more than one page, an unseen entry may be older than the oldest that is known.
  expect(oldestOf(some, many)).toBe("hidden");
});
