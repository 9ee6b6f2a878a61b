// Pages in a real browser, each monitored from its first request to its last.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";
import { atEnd, variable } from "./stack.js";

/** Maximum time for an effect that passes through several services. */
export const SOON_MS = 30_000;

export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 360, height: 740 };

/** @type {Promise<import("playwright-core").Browser> | undefined} */
let launched;

/** The browser, shared by all tests of a file. */
function browser() {
  launched ??= chromium.launch({
    executablePath: executable(),
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  return launched;
}

/** Closes the browser. Call it after the last test of a file. */
export async function closeBrowser() {
  await (await launched)?.close();
  launched = undefined;
}

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path));
  if (!found)
    throw new Error("no Chromium: install it (`apt-get install chromium`), or set CHROMIUM to its path");
  return found;
}

/**
 * @typedef {object} Wish
 * @property {"ko" | "en"} [language]
 * @property {"phone" | "desktop"} [device]
 * @property {"light" | "dark"} [scheme]
 * @property {RegExp[]} [expected] console errors that the test causes on purpose
 * @property {string} [origin] server to use instead of FRONTEND_URL
 */

/**
 * A page in a new browser profile. At the end of the test it must have had no error and no request to another origin.
 * @param {{ after(end: () => Promise<void>): void }} test
 * @param {Wish} [wish]
 */
export async function visit(
  test,
  { language = "en", device = "desktop", scheme = "light", expected = [], origin } = {},
) {
  const base = origin ?? variable("FRONTEND_URL");
  const isPhone = device === "phone";
  const context = await (await browser()).newContext({
    baseURL: base,
    locale: language === "ko" ? "ko-KR" : "en-US",
    timezoneId: "Asia/Seoul",
    viewport: isPhone ? PHONE : DESKTOP,
    isMobile: isPhone,
    hasTouch: isPhone,
    colorScheme: scheme,
    // Animations would make screenshots and waits unstable.
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(SOON_MS);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  const complain = (/** @type {string} */ text) => {
    if (!expected.some((pattern) => pattern.test(text))) complaints.push(text);
  };
  page.on("console", (message) => {
    if (message.type() === "error") complain(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => complain(`page error: ${error.stack ?? error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== new URL(base).origin) complaints.push(`a request to ${url.origin}`);
  });
  await page.addInitScript(watchPaint);
  atEnd(test, async () => {
    await context.close();
    assert.deepEqual(complaints, [], "the page has had errors");
  });
  return page;
}

/** Runs in the page before its own scripts: records paints, layout shifts and Content-Security-Policy violations. */
function watchPaint() {
  /** @type {{ cls: number, lcp: number, violations: string[] }} */
  const seen = { cls: 0, lcp: 0, violations: [] };
  Object.assign(window, { seen });
  const observe = (/** @type {string} */ type, /** @type {(entry: any) => void} */ note) => {
    new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type, buffered: true });
  };
  observe("layout-shift", (entry) => {
    if (!entry.hadRecentInput) seen.cls += entry.value;
  });
  observe("largest-contentful-paint", (entry) => {
    seen.lcp = entry.startTime;
  });
  document.addEventListener("securitypolicyviolation", (event) => {
    seen.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
  });
}

/**
 * The measurements of the page so far.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<{ cls: number, lcp: number, violations: string[] }>}
 */
export function seenBy(page) {
  return page.evaluate(() => /** @type {any} */ (window).seen);
}

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * Asserts accessibility (WCAG 2.2 AA and axe's best practices), no horizontal scrolling, and no violation of the
 * Content-Security-Policy.
 * @param {import("playwright-core").Page} page
 * @param {string} what
 */
export async function checkPage(page, what) {
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async () => {
    const { violations } = await /** @type {any} */ (window).axe.run(document, {
      resultTypes: ["violations"],
    });
    return violations.map((/** @type {any} */ rule) => ({
      rule: rule.id,
      help: rule.help,
      nodes: rule.nodes.slice(0, 5).map((/** @type {any} */ node) => `${node.html} ${node.failureSummary}`),
    }));
  });
  assert.deepEqual(violations, [], `axe on ${what}`);
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  assert.ok(overflow <= 0, `${what} is ${overflow} pixels wider than the window`);
  assert.deepEqual((await seenBy(page)).violations, [], `Content-Security-Policy on ${what}`);
}

/**
 * Saves a screenshot for the documentation when SCREENSHOTS names a folder.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  // Without a Korean font every syllable is the same box, and nothing else would notice.
  const isLegible = await page.evaluate(() => {
    const drawn = (/** @type {string} */ text) => {
      const canvas = document.createElement("canvas");
      canvas.getContext("2d")?.fillText(text, 0, 20);
      return canvas.toDataURL();
    };
    return drawn("재") !== drawn("고");
  });
  assert.ok(isLegible, "there is no Korean font; on Debian: apt-get install fonts-nanum");
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
}

/**
 * Polls until `is` accepts the value that `read` returns, and returns that value.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} read
 * @param {(value: T) => boolean} is
 */
export async function until(what, read, is) {
  const end = Date.now() + SOON_MS;
  for (;;) {
    const value = await read();
    if (is(value)) return value;
    if (Date.now() > end) throw new Error(`not in time: ${what}; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
