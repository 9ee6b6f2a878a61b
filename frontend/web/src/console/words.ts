import { useCallback } from "react";
import { useTranslation } from "react-i18next";

/**
 * Translates a value of an API. A service may be newer than this page, so a value without a translation is shown as
 * received.
 */
export function useWords(): (group: string, word: string) => string {
  const { i18n } = useTranslation("console");
  return useCallback(
    (group, word) => {
      const key = `console:words.${group}.${word}`;
      return i18n.exists(key) ? String(i18n.t(key as never)) : word;
    },
    [i18n],
  );
}
