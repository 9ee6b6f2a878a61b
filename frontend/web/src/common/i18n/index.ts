/** Korean and English. The browser's language applies until the reader chooses one; the choice is stored. */
import i18next from "i18next";
import { initReactI18next, useTranslation } from "react-i18next";
import en from "./en.json";
import ko from "./ko.json";

export const LANGUAGES = ["ko", "en"] as const;
export type Language = (typeof LANGUAGES)[number];

const KEPT = "jaego.language";

/** The translations of one application: `shop` or `console`. */
export interface Face {
  namespace: "shop" | "console";
  ko: object;
  en: object;
}

/** Korean for browsers that prefer it, English for all others. A stored choice takes precedence. */
export function preferredLanguage(kept: string | null, languages: readonly string[]): Language {
  const chosen = LANGUAGES.find((language) => language === kept);
  if (chosen) return chosen;
  const first = languages
    .map((tag) => tag.slice(0, 2))
    .find((tag) => LANGUAGES.some((known) => known === tag));
  return first === "ko" ? "ko" : "en";
}

/** Starts i18next with the common texts and those of one application. */
export function startI18n(face: Face): void {
  const language = preferredLanguage(readKept(), navigator.languages);
  i18next.use(initReactI18next).init({
    lng: language,
    fallbackLng: "en",
    defaultNS: "common",
    resources: {
      ko: { common: ko, [face.namespace]: face.ko },
      en: { common: en, [face.namespace]: face.en },
    },
    // React escapes already; escaping twice would show &amp;.
    interpolation: { escapeValue: false },
    react: { useSuspense: false },
    initAsync: false,
  });
  document.documentElement.lang = language;
}

/** Switches the language, now and for later visits. */
export function chooseLanguage(language: Language): void {
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // Storage may be blocked; the choice then lasts until the page is closed.
  }
  document.documentElement.lang = language;
  void i18next.changeLanguage(language);
}

export function useLanguage(): Language {
  const { i18n } = useTranslation();
  return i18n.language === "ko" ? "ko" : "en";
}

function readKept(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}
