import { useEffect } from "react";
import { useTranslation } from "react-i18next";

/** The document's title: what is shown, then where. */
export function useTitle(title: string | undefined): void {
  const { t } = useTranslation("shop");
  const place = t("title");
  useEffect(() => {
    document.title = title ? `${title} · ${place}` : place;
  }, [title, place]);
}
