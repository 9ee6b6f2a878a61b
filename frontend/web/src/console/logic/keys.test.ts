import { expect, it } from "vitest";
import { KeyKeeper } from "./keys";

it("keeps the key of a wish until it is answered", () => {
  const keys = new KeyKeeper();
  const first = keys.keyFor({ delta: 1 });
  expect(keys.keyFor({ delta: 1 })).toBe(first);
  const other = keys.keyFor({ delta: 2 });
  expect(other).not.toBe(first);
  keys.answered();
  expect(keys.keyFor({ delta: 2 })).not.toBe(other);
});
