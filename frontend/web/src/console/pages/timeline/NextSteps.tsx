import { useTranslation } from "react-i18next";
import { useFormat } from "../../../common/format";
import { useNow } from "../../../common/now";
import { Badge } from "../../../common/ui/Badge";
import { Time } from "../../../common/ui/Time";
import type { Next } from "../../logic/timeline";
import { To, type ToProps } from "../../ui/To";
import { useWords } from "../../words";

/** Upcoming steps with their times. */
export function NextSteps({ next }: { next: readonly Next[] }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  const now = useNow(1_000);
  if (next.length === 0) return <p className="soft">{t("timeline.nothingNext")}</p>;
  return (
    <ul className="next">
      {next.map((each) => {
        const place = placeOf(each);
        return (
          <li key={`${each.what} ${each.subject.id} ${each.at}`}>
            <Badge tone={each.what === "decision" ? "warn" : "info"}>{words("next", each.what)}</Badge>{" "}
            {each.what === "decision" && words("subject", each.subject.type)}{" "}
            {each.quantity !== null && `${each.quantity} × `}
            {each.sku}{" "}
            {each.at && (
              <>
                <Time at={each.at} withSeconds /> ({format.relative(each.at, now)})
              </>
            )}{" "}
            {each.detail.waiting_for && (
              <Badge tone="warn">{words("waitingFor", each.detail.waiting_for)}</Badge>
            )}{" "}
            {place && (
              <To {...place} aria-label={t("timeline.goLabel", { what: words("next", each.what) })}>
                {t("timeline.go")}
              </To>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** The page on which an operator can act on a step. */
function placeOf(next: Next): Omit<ToProps, "children"> | undefined {
  const { type, id } = next.subject;
  if (type === "production_request") return { to: "/requests/$id", params: { id } };
  if (type === "dead_letter")
    return { to: "/dead-letters", search: { service: next.service.replace("-service", "") } };
  if (type === "quarantine_entry") return { to: "/quarantine" };
  if (type === "replenishment") {
    const isDecision = next.what === "decision";
    const search = { ...(next.sku ? { sku: next.sku } : {}), ...(isDecision ? { status: "proposed" } : {}) };
    return { to: "/replenishments", search };
  }
  return undefined;
}
