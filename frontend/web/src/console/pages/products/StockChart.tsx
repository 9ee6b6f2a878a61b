import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { ok, sales } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { fetchMovements, type Movement, PAGE_MAX, type Stock } from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { historyOf } from "../../logic/history";
import { Chart, type ChartSeries } from "../../ui/Chart";

/** Pages of 200 ledger entries that the chart covers. */
const PAGES_MAX = 5;

/** On hand and position over time, with the policy's reorder point and order-up-to level. */
export function StockChart({ stock }: { stock: Stock }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const { sku } = stock;
  const refetchInterval = useLiveInterval();
  const query = useQuery({
    queryKey: [...KEYS.stock, "history", sku],
    queryFn: ({ signal }) => fetchHistory(sku, signal),
    refetchInterval,
  });
  const series = useMemo<ChartSeries[]>(
    () => [
      { label: t("field.onHand"), color: "--info", kind: "steps" },
      { label: t("field.position"), color: "--accent", kind: "steps" },
      { label: t("policy.reorder_point"), color: "--warn", kind: "dashes" },
      { label: t("policy.order_up_to"), color: "--good", kind: "dashes" },
    ],
    [t],
  );
  const { reorder_point, order_up_to } = stock.policy;
  const drawn = useMemo(() => {
    if (!query.data) return undefined;
    const { now, movements, replenishments, waiting } = query.data;
    const { at, on_hand, position } = historyOf(now, movements, replenishments, waiting);
    return { at, values: [on_hand, position, at.map(() => reorder_point), at.map(() => order_up_to)] };
  }, [query.data, reorder_point, order_up_to]);
  if (query.error) return <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />;
  if (!drawn) return <Skeleton size="chart" />;
  if (drawn.at.length < 2) return <p className="soft">{t("chart.nothingMoved")}</p>;
  return (
    <Chart
      label={t("chart.stockNote")}
      timeLabel={t("field.at")}
      at={drawn.at}
      series={series}
      values={drawn.values}
      formatValue={format.number}
    />
  );
}

async function fetchHistory(sku: string, signal: AbortSignal) {
  const stock = ok(sales.GET("/api/v1/stock/{sku}", { params: { path: { sku } }, signal }));
  const query = { sku, limit: PAGE_MAX };
  const replenishments = ok(sales.GET("/api/v1/replenishments", { params: { query }, signal }));
  const waiting = ok(
    sales.GET("/api/v1/orders", { params: { query: { ...query, status: "backordered" } }, signal }),
  );
  const movements: Movement[] = [];
  let cursor: string | null | undefined;
  for (let page = 0; page < PAGES_MAX && cursor !== null; page += 1) {
    const answer = await fetchMovements(sku, { limit: PAGE_MAX, ...(cursor ? { cursor } : {}) }, signal);
    movements.push(...answer.items);
    cursor = answer.next_cursor;
  }
  const { on_hand, position } = await stock;
  return {
    now: { sku, on_hand, position, ms: Date.now() },
    movements,
    replenishments: (await replenishments).items,
    waiting: (await waiting).items,
  };
}
