import { useEffect } from "react";
import { useTranslation } from "react-i18next";

/** The window's title: the page first, so that tabs can be told apart. */
export function useDocumentTitle(page: string): void {
  const { t } = useTranslation("console");
  const suffix = t("title");
  useEffect(() => {
    document.title = `${page} · ${suffix}`;
  }, [page, suffix]);
}
