import type { ReactNode } from "react";
import { I18nProvider } from "react-aria-components/I18nProvider";
import { useLanguage } from "../i18n";

const LOCALES = { ko: "ko-KR", en: "en-US" };

/** Passes the chosen language to react-aria, which would otherwise use the browser's. */
export function LocaleProvider({ children }: { children: ReactNode }) {
  return <I18nProvider locale={LOCALES[useLanguage()]}>{children}</I18nProvider>;
}
