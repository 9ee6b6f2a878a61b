import type { ReactNode } from "react";
import { I18nProvider } from "react-aria-components/I18nProvider";
import { useLanguage } from "../i18n";

const LOCALES = { ko: "ko-KR", en: "en-US" };

/** Gives react-aria the language that the reader has chosen: without it the browser's would count. */
export function LocaleProvider({ children }: { children: ReactNode }) {
  return <I18nProvider locale={LOCALES[useLanguage()]}>{children}</I18nProvider>;
}
