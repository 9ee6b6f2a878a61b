/** Money, numbers and times in the reader's language. Everything uses Intl; there are no tables of our own. */
import { useMemo } from "react";
import type { Money } from "./api";
import { type Language, useLanguage } from "./i18n";

/** A point in time: an ISO string of the services, epoch milliseconds, or a `Date`. */
export type Instant = string | number | Date;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** "19,900원" in Korean, "₩19,900" in English; other currencies as Intl formats them. */
export function formatMoney(money: Money, language: Language): string {
  const format = new Intl.NumberFormat(language, { style: "currency", currency: money.currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 0;
  if (money.currency === "KRW" && language === "ko") return `${formatNumber(money.amount, language)}원`;
  return format.format(money.amount / 10 ** digits);
}

export function formatNumber(value: number, language: Language, options?: Intl.NumberFormatOptions): string {
  return new Intl.NumberFormat(language, options).format(value);
}

/** Local date and time; the date is left out when it is today. */
export function formatTime(at: Instant, language: Language, now: Instant = Date.now()): string {
  const [date, today] = [new Date(at), new Date(now)];
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (date.toDateString() !== today.toDateString())
    Object.assign(options, { month: "short", day: "numeric" });
  if (date.getFullYear() !== today.getFullYear()) options.year = "numeric";
  return new Intl.DateTimeFormat(language, options).format(date);
}

/** Local date and time to the second, for event lists. */
export function formatTimestamp(at: Instant, language: Language): string {
  return new Intl.DateTimeFormat(language, {
    dateStyle: "short",
    timeStyle: "medium",
    hourCycle: "h23",
  }).format(new Date(at));
}

/** "2026-11-22 21:14:38 UTC": the tooltip of every displayed time. */
export function utcTitle(at: Instant): string {
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/**
 * The expected time as text, or `undefined` when it has passed: then the goods are late and no time can be promised.
 */
export function expectedAround(
  at: Instant,
  language: Language,
  now: Instant = Date.now(),
): string | undefined {
  return new Date(at).getTime() <= new Date(now).getTime() ? undefined : formatTime(at, language, now);
}

/** "320 ms", "4.2 s", "3 min 5 s", "2 hr 10 min", "3 days 4 hr", with the language's short unit names. */
export function formatDuration(ms: number, language: Language): string {
  const unit = (value: number, name: string, digits = 0) =>
    new Intl.NumberFormat(language, {
      style: "unit",
      unit: name,
      unitDisplay: "short",
      maximumFractionDigits: digits,
    }).format(value);
  const pair = (size: number, big: string, smallSize: number, small: string) => {
    const rest = Math.floor((ms % size) / smallSize);
    const first = unit(Math.floor(ms / size), big);
    return rest === 0 ? first : `${first} ${unit(rest, small)}`;
  };
  if (ms < 1_000) return unit(Math.round(ms), "millisecond");
  if (ms < MINUTE_MS) return unit(ms / 1000, "second", ms < 10_000 ? 1 : 0);
  if (ms < HOUR_MS) return pair(MINUTE_MS, "minute", 1_000, "second");
  if (ms < DAY_MS) return pair(HOUR_MS, "hour", MINUTE_MS, "minute");
  return pair(DAY_MS, "day", HOUR_MS, "hour");
}

/** "3 minutes ago", "in 20 seconds". */
export function formatRelative(at: Instant, language: Language, now: Instant = Date.now()): string {
  const ms = new Date(at).getTime() - new Date(now).getTime();
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const size = Math.abs(ms);
  if (size < MINUTE_MS) return format.format(Math.round(ms / 1000), "second");
  if (size < HOUR_MS) return format.format(Math.round(ms / MINUTE_MS), "minute");
  if (size < DAY_MS) return format.format(Math.round(ms / HOUR_MS), "hour");
  return format.format(Math.round(ms / DAY_MS), "day");
}

/** All formatters, bound to the current language. */
export function useFormat() {
  const language = useLanguage();
  return useMemo(
    () => ({
      money: (money: Money) => formatMoney(money, language),
      number: (value: number, options?: Intl.NumberFormatOptions) => formatNumber(value, language, options),
      time: (at: Instant, now?: Instant) => formatTime(at, language, now),
      timestamp: (at: Instant) => formatTimestamp(at, language),
      expected: (at: Instant, now?: Instant) => expectedAround(at, language, now),
      duration: (ms: number) => formatDuration(ms, language),
      relative: (at: Instant, now?: Instant) => formatRelative(at, language, now),
    }),
    [language],
  );
}
