import { useCallback } from "react";
import { useTranslation } from "react-i18next";

/**
 * A word of an API in the reader's language. A service may be newer than this page: a word that has no
 * translation is shown as it came.
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
