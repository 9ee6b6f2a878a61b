import { expect, it } from "vitest";
import { flowLayout } from "./flow";

it.each(["row", "column"] as const)(
  "keeps every station of a %s within the picture, one after the other",
  (direction) => {
    const layout = flowLayout(5, direction);
    expect(layout.boxes).toHaveLength(5);
    // Four steps, and the way back from the receipts to the stock.
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
