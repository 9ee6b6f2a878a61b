import { useTranslation } from "react-i18next";
import { useFormat } from "../../../common/format";
import { Badge, type Tone } from "../../../common/ui/Badge";
import { Time } from "../../../common/ui/Time";
import type { ChainStep } from "../../logic/timeline";
import { Json, ShortId } from "../../ui/parts";
import { To } from "../../ui/To";
import { useWords } from "../../words";

/** Shorter pauses are not shown. */
const PAUSE_MS_MIN = 100;

const BAD = ["rejected", "refused", "dead_lettered", "stalled", "overdue"];
const GOOD = ["confirmed", "fulfilled", "complete", "accepted", "booked", "applied", "received"];

function toneOf(step: ChainStep): Tone {
  const [family = "", what = ""] = step.kind.split(".");
  if (BAD.includes(what) || step.kind === "dead_letter.kept" || step.detail.outcome === "refused")
    return "bad";
  if (family === "quarantine" || ["retry", "unknown"].includes(step.detail.outcome ?? "")) return "warn";
  return GOOD.includes(what) ? "good" : "neutral";
}

/** The steps in order of time, with their durations and the pauses between them. */
export function Steps({ steps }: { steps: readonly ChainStep[] }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  return (
    <ol className="steps">
      {steps.map((step) => (
        <li key={step.key} className={`step step-${step.service.replace("-service", "")}`}>
          {step.waitedMs !== null && step.waitedMs >= PAUSE_MS_MIN && (
            <p className="pause">{t("timeline.later", { duration: format.duration(step.waitedMs) })}</p>
          )}
          <div className="step-head">
            <Time at={step.at} withSeconds />
            <Badge tone={toneOf(step)}>{words("kind", step.kind.replaceAll(".", "_"))}</Badge>
            {step.sku && (
              <To to="/products/$sku" params={{ sku: step.sku }}>
                {step.sku}
              </To>
            )}
            {step.quantity !== null && (
              <span>
                {t("timeline.units", {
                  units: format.number(
                    step.quantity,
                    step.kind === "stock.moved" ? { signDisplay: "exceptZero" } : {},
                  ),
                })}
              </span>
            )}
            {step.duration_ms !== null && (
              <span className="soft">
                {t("timeline.took", { duration: format.duration(step.duration_ms) })}
              </span>
            )}
            <span className="soft">{words("service", step.service.replace("-service", ""))}</span>
          </div>
          <Detail step={step} />
        </li>
      ))}
    </ol>
  );
}

function Detail({ step }: { step: ChainStep }) {
  const { t } = useTranslation("console");
  const words = useWords();
  const { detail, trace_id: trace } = step;
  const said = [
    detail.outcome && words("attempt", detail.outcome),
    detail.http_status && `HTTP ${detail.http_status}`,
    detail.cause && words("cause", detail.cause),
    detail.before !== undefined && detail.before !== null && `${detail.before} → ${detail.after}`,
    detail.factory_id && `${t("field.factory")} ${detail.factory_id}`,
    detail.actor && t("timeline.by", { actor: detail.actor }),
    detail.action && words("action", detail.action.replaceAll(".", "_")),
    detail.lines?.map((line) => `${line.sku} ${line.filled}/${line.quantity}`).join(", "),
  ].filter((text) => typeof text === "string" && text !== "");
  const inWords = detail.error ?? detail.explanation ?? detail.reason;
  const isMore = Object.keys(detail).length > 0;
  return (
    <>
      {said.length > 0 && <p>{said.join(" · ")}</p>}
      {inWords && <p lang="en">{inWords}</p>}
      <p className="soft small">
        {words("subject", step.subject.type)} <ShortId id={step.subject.id} />
        {trace && (
          <>
            {" · "}
            {t("field.traceId")} <code>{trace}</code>
          </>
        )}
      </p>
      {isMore && (
        <details>
          <summary>{t("timeline.all")}</summary>
          <Json
            value={detail}
            label={t("timeline.detailOf", { kind: words("kind", step.kind.replaceAll(".", "_")) })}
          />
        </details>
      )}
    </>
  );
}
