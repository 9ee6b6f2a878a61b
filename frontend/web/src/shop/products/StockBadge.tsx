import { useTranslation } from "react-i18next";
import { type Instant, useFormat, utcTitle } from "../../common/format";
import { Badge } from "../../common/ui/Badge";
import { availability, type Product } from "./availability";

export function StockBadge({ product, now }: { product: Product; now: Instant }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const state = availability(product, now);
  switch (state.kind) {
    case "inStock":
      return <Badge tone="good">{t("stock.inStock")}</Badge>;
    case "low":
      return (
        <Badge tone="warn">{t("stock.low", { count: state.left, left: format.number(state.left) })}</Badge>
      );
    case "backorder":
      return <Badge tone="info">{t("stock.backorder")}</Badge>;
    case "back":
      return (
        <Badge tone="bad">
          <time dateTime={state.eta} title={utcTitle(state.eta)}>
            {t("stock.back", { time: format.time(state.eta, now) })}
          </time>
        </Badge>
      );
    case "soon":
      return <Badge tone="bad">{t("stock.soon")}</Badge>;
    case "soldOut":
      return <Badge tone="bad">{t("stock.soldOut")}</Badge>;
  }
}

/** A second line that is always rendered, so that cards keep their height. */
export function StockDetail({ product, now }: { product: Product; now: Instant }) {
  const { t } = useTranslation("shop");
  const format = useFormat();
  const state = availability(product, now);
  if (state.kind === "backorder" && state.eta) {
    return <>{t("stock.backorderAround", { time: format.time(state.eta, now) })}</>;
  }
  if (state.kind === "backorder") return <>{t("stock.backorderDetail")}</>;
  if (state.kind === "back" || state.kind === "soon") return <>{t("stock.soldOutForNow")}</>;
  return <>{"\u00a0"}</>;
}
