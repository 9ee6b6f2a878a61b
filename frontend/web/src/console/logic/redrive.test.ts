import { expect, it } from "vitest";
import { outcomeOf } from "./redrive";

it("calls good only what was handled, and nothing before the end", () => {
  const job = { total: 3, processed: 3, failed_again: 0, discarded: 0, done: true };
  expect(outcomeOf(job)).toBe("good");
  expect(outcomeOf({ ...job, done: false })).toBe("running");
  expect(outcomeOf({ ...job, processed: 1, failed_again: 2 })).toBe("mixed");
  expect(outcomeOf({ ...job, processed: 0, failed_again: 3 })).toBe("bad");
  expect(outcomeOf({ ...job, processed: 0, discarded: 3 })).toBe("bad");
});
