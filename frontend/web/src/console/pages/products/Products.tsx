import { useTranslation } from "react-i18next";
import { ok, sales } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Badge } from "../../../common/ui/Badge";
import type { Column } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { PAGE, type Stock } from "../../api";
import { KEYS } from "../../logic/events";
import { useIsOperator } from "../../session";
import { useDocumentTitle } from "../../title";
import { PagedTable } from "../../ui/PagedTable";
import { PageHead, Status } from "../../ui/parts";
import { To } from "../../ui/To";
import { NewProduct } from "./NewProduct";

export function Products() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const isOperator = useIsOperator();
  useDocumentTitle(t("nav.products"));
  const columns: Column<Stock>[] = [
    {
      id: "sku",
      title: t("field.sku"),
      cell: ({ sku }) => (
        <To to="/products/$sku" params={{ sku }}>
          <code>{sku}</code>
        </To>
      ),
    },
    {
      id: "name",
      title: t("field.name"),
      cell: (stock) => (
        <>
          {stock.name} {!stock.on_sale && <Badge>{t("products.notOnSale")}</Badge>}
        </>
      ),
    },
    {
      id: "on_hand",
      title: t("field.onHand"),
      kind: "number",
      cell: (stock) => format.number(stock.on_hand),
    },
    {
      id: "waiting",
      title: t("field.backordered"),
      kind: "number",
      cell: (stock) => format.number(stock.backordered),
    },
    {
      id: "on_order",
      title: t("field.onOrder"),
      kind: "number",
      cell: (stock) => format.number(stock.on_order),
    },
    {
      id: "position",
      title: t("field.position"),
      kind: "number",
      cell: (stock) => <Position stock={stock} />,
    },
    {
      id: "policy",
      title: t("field.policy"),
      kind: "number",
      cell: ({ policy }) =>
        `${format.number(policy.reorder_point)} → ${format.number(policy.order_up_to)} / ${format.number(policy.lot_size)}`,
    },
    {
      id: "mode",
      title: t("field.mode"),
      cell: ({ policy }) => <Status group="mode" value={policy.mode} tone="neutral" />,
    },
    {
      id: "updated",
      title: t("field.updatedAt"),
      cell: (stock) => <Time at={stock.updated_at} withSeconds />,
    },
  ];
  return (
    <>
      <PageHead title={t("nav.products")} intro={t("products.intro")}>
        {isOperator && <NewProduct />}
      </PageHead>
      <PagedTable
        label={t("nav.products")}
        queryKey={[...KEYS.stock, "list"]}
        fetchPage={(cursor, signal) =>
          ok(
            sales.GET("/api/v1/stock", {
              params: { query: { limit: PAGE, ...(cursor ? { cursor } : {}) } },
              signal,
            }),
          )
        }
        columns={columns}
        rowKey={(stock) => stock.sku}
      />
    </>
  );
}

function Position({ stock }: { stock: Stock }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const isLow = stock.position <= stock.policy.reorder_point && stock.policy.mode !== "off";
  return (
    <>
      {isLow && <Badge tone="warn">{t("products.low")}</Badge>} {format.number(stock.position)}
    </>
  );
}
