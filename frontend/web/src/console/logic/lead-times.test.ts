import { expect, it } from "vitest";
import { waitsOf } from "./lead-times";

it("sorts by when goods came, and keeps the longest of one moment", () => {
  const request = (from: number, to: number) => ({
    created_at: new Date(from * 1000).toISOString(),
    updated_at: new Date(to * 1000).toISOString(),
  });
  expect(waitsOf([request(100, 150), request(50, 90), request(120, 150)])).toEqual({
    at: [90, 150],
    seconds: [40, 50],
  });
});
