import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ok, sales } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { Time } from "../../../common/ui/Time";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { type Figures, type Policy, stanceOf } from "../../logic/policy";
import { Status } from "../../ui/parts";

/** The service's current decision, with its inputs and formula. */
export function useDecision(sku: string) {
  const refetchInterval = useLiveInterval();
  return useQuery({
    queryKey: [...KEYS.stock, "decision", sku],
    queryFn: ({ signal }) =>
      ok(sales.GET("/api/v1/stock/{sku}/replenishment-decision", { params: { path: { sku } }, signal })),
    refetchInterval,
  });
}

export function Decision({ sku }: { sku: string }) {
  const { t } = useTranslation("console");
  const decision = useDecision(sku);
  if (decision.error) return <ErrorNotice error={decision.error} onRetry={() => void decision.refetch()} />;
  if (!decision.data) return <Skeleton size="block" />;
  const { inputs, answer, formula, explanation } = decision.data;
  return (
    <div className="stack">
      <p>
        <Status group="answer" value={answer} tone={answer === "none" ? "neutral" : "info"} />
      </p>
      <Explained figures={inputs} policy={inputs.policy} isPaused={inputs.paused_until != null} />
      {inputs.paused_until && (
        <p>
          {t("decision.pausedUntil")} <Time at={inputs.paused_until} withSeconds />
        </p>
      )}
      <details>
        <summary>{t("decision.ofService")}</summary>
        <p lang="en">{explanation}</p>
        <p className="soft small" lang="en">
          {formula}
        </p>
      </details>
    </div>
  );
}

/** Explains in sentences what a policy does with given figures. The policy must be valid. */
export function Explained({
  figures,
  policy,
  isPaused,
}: {
  figures: Figures;
  policy: Policy;
  isPaused: boolean;
}) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const stance = stanceOf(figures, policy, isPaused);
  const number = (value: number) => format.number(value);
  return (
    <div className="explained">
      <p>
        {t("decision.position", {
          position: number(stance.position),
          onHand: number(figures.on_hand),
          onOrder: number(figures.on_order),
          backordered: number(figures.backordered),
        })}
      </p>
      {!stance.needed && <p>{t("decision.above", { point: number(policy.reorder_point) })}</p>}
      {stance.needed && (
        <p>
          {t(stance.reaches ? "decision.order" : "decision.orderPart", {
            point: number(policy.reorder_point),
            quantity: number(stance.quantity),
            lots: number(stance.lots),
            lot: number(policy.lot_size),
            level: number(policy.order_up_to),
          })}
        </p>
      )}
      {stance.heldBackBy && <p>{t(`decision.heldBack.${stance.heldBackBy}`)}</p>}
      {stance.answer === "propose" && <p>{t("decision.propose")}</p>}
    </div>
  );
}
