import { expect, it, vi } from "vitest";
import { filteredPage, Trail } from "./paging";

const pagesOf = (...pages: number[][]) =>
  vi.fn(async (cursor: string | undefined) => {
    const place = Number(cursor ?? 0);
    return { items: pages[place] ?? [], next_cursor: place + 1 < pages.length ? String(place + 1) : null };
  });
const isEven = (value: number) => value % 2 === 0;

it("looks through pages until one page is full", async () => {
  const fetchPage = pagesOf([1, 3], [2, 5], [4, 6], [8]);
  expect(await filteredPage(fetchPage, isEven, undefined, 2)).toEqual({
    items: [2, 4, 6],
    next_cursor: "3",
    exhausted: true,
  });
  expect(fetchPage).toHaveBeenCalledTimes(3);
  expect(await filteredPage(fetchPage, isEven, "3", 2)).toEqual({
    items: [8],
    next_cursor: null,
    exhausted: true,
  });
});

it("gives up after ten pages and says so", async () => {
  const fetchPage = pagesOf(...Array.from({ length: 30 }, () => [1]));
  const page = await filteredPage(fetchPage, isEven, undefined, 2);
  expect(page).toEqual({ items: [], next_cursor: "10", exhausted: false });
});

it("finds the way back", () => {
  const trail = new Trail();
  trail.went("orders", undefined, "a");
  trail.went("orders", "a", "b");
  expect(trail.previous("orders", "b")).toBe("a");
  expect(trail.previous("orders", "a")).toBe("");
  expect(trail.previous("orders", undefined)).toBeUndefined();
  expect(trail.previous("stock", "b")).toBeUndefined();
});
