import { useTranslation } from "react-i18next";
import { Notice } from "../../../common/ui/Notice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { useIsOperator, useSettings } from "../../session";
import { useDocumentTitle } from "../../title";
import { PageHead, Section } from "../../ui/parts";
import { To } from "../../ui/To";
import { FaultsForm } from "./FaultsForm";
import { Patience } from "./Patience";
import { SimulatorHistory } from "./SimulatorHistory";
import { Surge } from "./Surge";

/** Fault injection, in the local stack only, to show how the system recovers. */
export function Demo() {
  const { t } = useTranslation("console");
  const settings = useSettings();
  const isOperator = useIsOperator();
  useDocumentTitle(t("nav.demo"));
  if (settings.isPending) return <Skeleton size="block" />;
  if (!settings.data?.demo) return <Notice tone="info" title={t("demo.off")} />;
  return (
    <>
      <PageHead title={t("nav.demo")} intro={t("demo.intro")} />
      {isOperator ? (
        <>
          <ol className="hints">
            <li>{t("demo.hint1")}</li>
            <li>{t("demo.hint2")}</li>
            <li>
              {t("demo.hint3")} <To to="/dead-letters">{t("nav.deadLetters")}</To>
            </li>
            <li>{t("demo.hint4")}</li>
          </ol>
          <div className="columns">
            <Section title={t("demo.faults")}>
              <FaultsForm />
            </Section>
            <div>
              <Section title={t("demo.patience")}>
                <Patience />
              </Section>
              <Section title={t("surge.title")}>
                <Surge />
              </Section>
            </div>
          </div>
          <SimulatorHistory />
        </>
      ) : (
        <Notice tone="info" title={t("demo.operatorsOnly")} />
      )}
    </>
  );
}
