import { expect, it } from "vitest";
import { answerOf, median, runSurge, type Tally } from "./surge";

it("sends what is wanted, never more than allowed at once, and counts the answers", async () => {
  let underWay = 0;
  let most = 0;
  let number = 0;
  const statuses = [201, 202, 409, 503, 0];
  const tallies: Tally[] = [];
  const tally = await runSurge({
    count: 23,
    atOnce: 4,
    send: async () => {
      underWay += 1;
      most = Math.max(most, underWay);
      const status = statuses[number % statuses.length] ?? 0;
      number += 1;
      await new Promise((done) => setTimeout(done, 1));
      underWay -= 1;
      return status;
    },
    stop: new AbortController().signal,
    onProgress: (progress) => tallies.push(progress),
  });
  expect(most).toBe(4);
  expect(number).toBe(23);
  expect(tally).toMatchObject({
    sent: 23,
    running: false,
    answers: { confirmed: 5, backordered: 5, rejected: 5, overloaded: 4, failed: 4 },
  });
  expect(tally.medianMs).toBeGreaterThan(0);
  expect(tallies).toHaveLength(24);
  expect(tallies[0]?.running).toBe(true);
});

it("stops on request", async () => {
  const stop = new AbortController();
  let sent = 0;
  const tally = await runSurge({
    count: 1000,
    atOnce: 2,
    send: async () => {
      sent += 1;
      if (sent === 10) stop.abort();
      return 201;
    },
    stop: stop.signal,
    onProgress: () => {},
  });
  expect(sent).toBeLessThanOrEqual(11);
  expect(tally.answers.confirmed).toBe(sent);
});

it("reads statuses and finds the middle", () => {
  expect([201, 202, 409, 503, 429, 422, 500, 0].map(answerOf)).toEqual([
    "confirmed",
    "backordered",
    "rejected",
    "overloaded",
    "overloaded",
    "failed",
    "failed",
    "failed",
  ]);
  expect([median([]), median([3]), median([9, 1, 5])]).toEqual([null, 3, 5]);
});
