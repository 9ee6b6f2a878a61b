import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { ok, production } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { type Factory, PAGE_MAX } from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { waitsOf } from "../../logic/lead-times";
import { Chart, type ChartSeries } from "../../ui/Chart";

/** Times from decision to delivery of the last requests, with the measured and the configured lead time. */
export function LeadTimeChart({ factory }: { factory: Factory }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const refetchInterval = useLiveInterval();
  const { id } = factory;
  const query = useQuery({
    queryKey: [...KEYS.requests, "lead-times", id],
    queryFn: ({ signal }) => {
      const query = { factory: id, status: "received", limit: PAGE_MAX } as const;
      return ok(production.GET("/api/v1/production-requests", { params: { query }, signal }));
    },
    refetchInterval,
  });
  const { lead_time_s: configured, lead_time_p50_s: p50, lead_time_p90_s: p90 } = factory;
  const drawn = useMemo(() => {
    if (!query.data) return undefined;
    const { at, seconds } = waitsOf(query.data.items);
    const line = (value: number | null | undefined) => at.map(() => value ?? null);
    return { at, values: [seconds, line(p50), line(p90), line(configured)] };
  }, [query.data, p50, p90, configured]);
  const series = useMemo<ChartSeries[]>(
    () => [
      { label: t("factory.wait"), color: "--info", kind: "points" },
      { label: t("factory.p50"), color: "--good", kind: "dashes" },
      { label: t("factory.p90"), color: "--warn", kind: "dashes" },
      { label: t("factory.lead_time_s"), color: "--text-soft", kind: "dashes" },
    ],
    [t],
  );
  const formatValue = useMemo(() => (value: number) => format.duration(value * 1000), [format]);
  if (query.error) return <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />;
  if (!drawn) return <Skeleton size="chart" />;
  if (drawn.at.length < 2) return <p className="soft">{t("factory.tooFew")}</p>;
  return (
    <Chart
      label={t("factory.chartNote")}
      timeLabel={t("field.at")}
      at={drawn.at}
      series={series}
      values={drawn.values}
      formatValue={formatValue}
    />
  );
}
