import { describe, expect, it } from "vitest";
import {
  expectedAround,
  formatDuration,
  formatMoney,
  formatNumber,
  formatRelative,
  formatTime,
  utcTitle,
} from "./format";

describe("money", () => {
  it("is written as each language writes it, in whole units of a currency without smaller ones", () => {
    const won = { amount: 19_900, currency: "KRW" };
    expect(formatMoney(won, "ko")).toBe("19,900원");
    expect(formatMoney(won, "en")).toBe("₩19,900");
    expect(formatMoney({ amount: 1_999, currency: "USD" }, "en")).toBe("$19.99");
    expect(formatMoney({ amount: 0, currency: "KRW" }, "ko")).toBe("0원");
  });
});

describe("times", () => {
  const noon = new Date(2026, 10, 22, 12, 0);

  it("leave out the date when it is today's", () => {
    expect(formatTime(new Date(2026, 10, 22, 14, 5), "en", noon)).toBe("14:05");
    expect(formatTime(new Date(2026, 10, 22, 14, 5), "ko", noon)).toBe("14:05");
    expect(formatTime(new Date(2026, 10, 23, 9, 0), "en", noon)).toContain("Nov 23");
    expect(formatTime(new Date(2027, 0, 2, 9, 0), "ko", noon)).toContain("2027");
  });

  it("that are past are not expected any more", () => {
    expect(expectedAround(new Date(2026, 10, 22, 14, 5), "en", noon)).toBe("14:05");
    expect(expectedAround(new Date(2026, 10, 22, 11, 59), "en", noon)).toBeUndefined();
  });

  it("have UTC in their title", () => {
    expect(utcTitle("2026-11-22T21:14:38.220599Z")).toBe("2026-11-22 21:14:38 UTC");
  });

  it("is shown relative to now", () => {
    expect(formatRelative(new Date(2026, 10, 22, 11, 57), "en", noon)).toBe("3 minutes ago");
    expect(formatRelative(new Date(2026, 10, 22, 12, 0, 20), "en", noon)).toBe("in 20 seconds");
    expect(formatRelative(new Date(2026, 10, 22, 9, 0), "ko", noon)).toBe("3시간 전");
  });
});

describe("durations and numbers", () => {
  it.each([
    [0, "0 ms"],
    [320.4, "320 ms"],
    [4_200, "4.2 sec"],
    [40_000, "40 sec"],
    [185_000, "3 min 5 sec"],
    [120_000, "2 min"],
    [7_800_000, "2 hr 10 min"],
    [3 * 86_400_000 + 4 * 3_600_000, "3 days 4 hr"],
  ])("%d ms", (ms, text) => {
    expect(formatDuration(ms, "en")).toBe(text);
  });

  it("speak Korean, too", () => {
    expect(formatDuration(185_000, "ko")).toBe("3분 5초");
    expect(formatNumber(1_234_567, "ko")).toBe("1,234,567");
  });
});
