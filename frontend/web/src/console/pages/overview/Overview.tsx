import { useTranslation } from "react-i18next";
import { useNow } from "../../../common/now";
import { Notice } from "../../../common/ui/Notice";
import { Time } from "../../../common/ui/Time";
import { useLiveEvents } from "../../live";
import { useIsOperator, useSettings } from "../../session";
import { useDocumentTitle } from "../../title";
import { PageHead, Section } from "../../ui/parts";
import { To } from "../../ui/To";
import { useWords } from "../../words";
import { Attention } from "./Attention";
import { Flow } from "./Flow";

/** Number of recent events shown. */
const SHOWN_MAX = 12;

/** The start page: the flow, everything that needs attention, and recent events. */
export function Overview() {
  const { t } = useTranslation("console");
  const settings = useSettings();
  const isOperator = useIsOperator();
  useDocumentTitle(t("nav.overview"));
  return (
    <>
      <PageHead title={t("nav.overview")} intro={t("overview.intro")} />
      {settings.data?.demo && isOperator && (
        <Notice tone="info" title={t("overview.newHere")}>
          <p>
            {t("overview.newHereWhat")} <To to="/demo">{t("nav.demo")}</To>
          </p>
        </Notice>
      )}
      <Section title={t("flow.title")}>
        <Flow />
      </Section>
      <Section title={t("attention.title")}>
        <Attention />
      </Section>
      <Section title={t("overview.recent")}>
        <Recent />
      </Section>
    </>
  );
}

function Recent() {
  const { t } = useTranslation("console");
  const words = useWords();
  const live = useLiveEvents();
  useNow(1_000);
  const shown = live.recent.slice(0, SHOWN_MAX);
  if (shown.length === 0) return <p className="soft">{t("overview.quiet")}</p>;
  return (
    <ul className="recent">
      {shown.map(({ name, event }) => {
        const { sku, request_id: request } = event.data;
        return (
          <li key={event.id}>
            <Time at={event.time} withSeconds /> <strong>{words("event", name.replaceAll(".", "_"))}</strong>{" "}
            {typeof sku === "string" && (
              <To to="/products/$sku" params={{ sku }}>
                {sku}
              </To>
            )}{" "}
            {typeof request === "string" && (
              <To to="/timeline" search={{ request }} aria-label={t("timeline.linkLabel", { id: request })}>
                {t("timeline.link")}
              </To>
            )}
          </li>
        );
      })}
    </ul>
  );
}
