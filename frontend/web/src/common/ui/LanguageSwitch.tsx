import { useTranslation } from "react-i18next";
import { chooseLanguage, LANGUAGES, useLanguage } from "../i18n";
import { Button } from "./Button";

/** A button that switches to the other language, labelled in that language. */
export function LanguageSwitch() {
  const { t } = useTranslation();
  const current = useLanguage();
  const other = LANGUAGES.find((language) => language !== current) ?? "en";
  return (
    <Button variant="quiet" size="small" onPress={() => chooseLanguage(other)}>
      <span lang={other}>{t(`language.${other}`)}</span>
    </Button>
  );
}
