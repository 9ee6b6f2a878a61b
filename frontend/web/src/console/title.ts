import { useEffect } from "react";
import { useTranslation } from "react-i18next";

/** Sets the window's title: page name first, so that tabs can be distinguished. */
export function useDocumentTitle(page: string): void {
  const { t } = useTranslation("console");
  const suffix = t("title");
  useEffect(() => {
    document.title = `${page} · ${suffix}`;
  }, [page, suffix]);
}
