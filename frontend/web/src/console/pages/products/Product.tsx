import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { answered, sales } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { Time } from "../../../common/ui/Time";
import type { Stock } from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { useIsOperator } from "../../session";
import { useDocumentTitle } from "../../title";
import { Facts, PageHead, Section } from "../../ui/parts";
import { To } from "../../ui/To";
import { RequestByHand } from "../RequestByHand";
import { Adjust } from "./Adjust";
import { Decision } from "./Decision";
import { Ledger } from "./Ledger";
import { PolicyEditor } from "./PolicyEditor";
import { Snooze } from "./Snooze";
import { StockChart } from "./StockChart";

/** One product: counters, replenishment decision, settings and ledger. */
export function Product() {
  const { sku = "" } = useParams({ strict: false }) as { sku?: string };
  const refetchInterval = useLiveInterval();
  const query = useQuery({
    queryKey: [...KEYS.stock, "one", sku],
    queryFn: async ({ signal }) => {
      const { data, response } = await answered(
        sales.GET("/api/v1/stock/{sku}", { params: { path: { sku } }, signal }),
      );
      return { stock: data, etag: response.headers.get("ETag") };
    },
    refetchInterval,
  });
  useDocumentTitle(query.data?.stock.name ?? sku);
  if (query.isPending) return <Skeleton size="block" />;
  if (!query.data) return <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />;
  return <Found stock={query.data.stock} etag={query.data.etag} />;
}

function Found({ stock, etag }: { stock: Stock; etag: string | null }) {
  const { t } = useTranslation("console");
  const isOperator = useIsOperator();
  const { sku } = stock;
  return (
    <>
      <PageHead title={stock.name} intro={<code>{sku}</code>}>
        <To to="/orders" search={{ sku }}>
          {t("nav.orders")}
        </To>
        <To to="/replenishments" search={{ sku }}>
          {t("nav.replenishments")}
        </To>
        <To to="/requests" search={{ sku }}>
          {t("nav.requests")}
        </To>
        {isOperator && (
          <>
            <Adjust stock={stock} />
            <RequestByHand sku={sku} />
            <Snooze sku={sku} />
          </>
        )}
      </PageHead>
      <Counters stock={stock} />
      <Section title={t("chart.stock")}>
        <StockChart stock={stock} />
      </Section>
      <div className="columns">
        <Section title={t("decision.title")}>
          <Decision sku={sku} />
        </Section>
        <Section title={t("policy.title")}>
          <PolicyEditor key={sku} stock={stock} etag={etag} isOperator={isOperator} />
        </Section>
      </div>
      <Section title={t("ledger.title")}>
        <Ledger sku={sku} />
      </Section>
    </>
  );
}

function Counters({ stock }: { stock: Stock }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  return (
    <Facts
      facts={[
        [t("field.onHand"), format.number(stock.on_hand)],
        [t("field.backordered"), format.number(stock.backordered)],
        [t("field.onOrder"), format.number(stock.on_order)],
        [t("field.position"), format.number(stock.position)],
        [t("field.price"), format.money(stock.price)],
        [t("field.onSale"), stock.on_sale ? t("yes") : t("no")],
        [
          t("field.factory"),
          <To key="factory" to="/factories/$id" params={{ id: stock.factory_id }}>
            <code>{stock.factory_id}</code>
          </To>,
        ],
        [t("field.updatedAt"), <Time key="time" at={stock.updated_at} withSeconds />],
      ]}
    />
  );
}
