import { describe, expect, it } from "vitest";
import consoleEn from "../../console/i18n/en.json";
import consoleKo from "../../console/i18n/ko.json";
import shopEn from "../../shop/i18n/en.json";
import shopKo from "../../shop/i18n/ko.json";
import en from "./en.json";
import { preferredLanguage } from "./index";
import ko from "./ko.json";

/** Every key with its placeholders. Plural forms count as one key: Korean has one, English has two. */
function texts(part: object, prefix = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(part)) {
    const path = prefix + key.replace(/_(one|other)$/, "");
    if (typeof value === "object" && value !== null) {
      for (const [inner, names] of texts(value, `${path}.`)) found.set(inner, names);
      continue;
    }
    expect(String(value).trim(), `${path} is empty`).not.toBe("");
    // A singular form may leave out the number.
    if (key.endsWith("_one")) continue;
    const names = [...String(value).matchAll(/\{\{\s*(\w+)/g)].map((match) => match[1]).sort();
    found.set(path, names.join());
  }
  return found;
}

describe("translations", () => {
  it.each([
    ["common", ko, en],
    ["shop", shopKo, shopEn],
    ["console", consoleKo, consoleEn],
  ])("%s has the same keys and placeholders in both languages", (_, korean, english) => {
    const sorted = (part: object) => [...texts(part)].sort(([one], [other]) => one.localeCompare(other));
    expect(sorted(korean)).toEqual(sorted(english));
  });
});

describe("the language", () => {
  it("is the kept one, else Korean for who prefers it, else English", () => {
    expect(preferredLanguage("en", ["ko-KR"])).toBe("en");
    expect(preferredLanguage("xx", ["ko-KR", "en"])).toBe("ko");
    expect(preferredLanguage(null, ["de-DE", "en-US", "ko"])).toBe("en");
    expect(preferredLanguage(null, ["de-DE", "ko"])).toBe("ko");
    expect(preferredLanguage(null, [])).toBe("en");
  });
});
