import { useEffect } from "react";
import { useTranslation } from "react-i18next";

/** Sets the document's title: page name first, then the shop's name. */
export function useTitle(title: string | undefined): void {
  const { t } = useTranslation("shop");
  const place = t("title");
  useEffect(() => {
    document.title = title ? `${title} · ${place}` : place;
  }, [title, place]);
}
