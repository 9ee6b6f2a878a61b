import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useFormat } from "../../common/format";
import { Badge, type Tone } from "../../common/ui/Badge";
import { Time } from "../../common/ui/Time";
import { lookAgain, orderQuery } from "../data";
import { useKept } from "../kept";
import { useLiveState } from "../live";
import { useTitle } from "../title";
import { shortNumber } from "./OrderPage";
import { keptOrders, noteStatus, waiting } from "./own-orders";
import { progressOf, type Stage } from "./progress";

const TONES: Record<Stage, Tone> = {
  waiting: "info",
  fulfilled: "good",
  cancelled: "neutral",
  rejected: "bad",
};
const STAGES = {
  confirmed: "fulfilled",
  backordered: "waiting",
  cancelled: "cancelled",
  rejected: "rejected",
} as const;

/** The orders that were placed in this browser. */
export function OrdersPage() {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const orders = useKept(keptOrders);
  const live = useLiveState();
  const open = waiting(orders);
  const queries = useQueries({
    queries: open.map((id) => ({ ...orderQuery(id), refetchInterval: lookAgain(live) })),
  });
  const seen = queries.map((query) => query.data);
  useTitle(t("orders.title"));
  useEffect(() => {
    for (const order of seen) if (order) noteStatus(order);
  });

  return (
    <>
      <h1>{t("orders.title")}</h1>
      <p className="lead">{t("orders.lead")}</p>
      {orders.length === 0 && (
        <p>
          {t("orders.empty")} <Link to="/">{t("cart.goShopping")}</Link>
        </p>
      )}
      <ul className="own-orders" aria-label={t("orders.title")}>
        {orders.map((own) => {
          const order = seen.find((other) => other?.id === own.id);
          const stage = STAGES[own.status];
          const progress = order && progressOf(order);
          return (
            <li key={own.id}>
              <Link to="/orders/$id" params={{ id: own.id }}>
                {t("order.title", { number: shortNumber(own.id) })}
              </Link>
              <Badge tone={TONES[stage]}>{t(`order.stage.${stage}`)}</Badge>
              <span>{progress && format.money(order.total)}</span>
              <Time at={own.placedAt} />
            </li>
          );
        })}
      </ul>
    </>
  );
}
