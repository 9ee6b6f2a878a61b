import { useTranslation } from "react-i18next";
import { useDocumentTitle } from "./title";

export function NotFound() {
  const { t } = useTranslation();
  useDocumentTitle(t("error.notFoundTitle"));
  return (
    <>
      <h1>{t("error.notFoundTitle")}</h1>
      <p>{t("error.notFound")}</p>
    </>
  );
}
