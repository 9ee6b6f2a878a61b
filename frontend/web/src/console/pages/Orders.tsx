import { useTranslation } from "react-i18next";
import { ok, sales } from "../../common/api";
import { useFormat } from "../../common/format";
import type { Column } from "../../common/ui/Table";
import { Time } from "../../common/ui/Time";
import { type Order, type OrderStatus, PAGE } from "../api";
import { KEYS } from "../logic/events";
import { useIsOperator } from "../session";
import { useDocumentTitle } from "../title";
import { Action } from "../ui/Action";
import { PagedTable } from "../ui/PagedTable";
import { FilterSelect, Filters, FilterText, PageHead, ShortId, Status, TimelineLink } from "../ui/parts";
import { To, useFilters } from "../ui/To";

const STATUSES: readonly OrderStatus[] = ["confirmed", "backordered", "rejected", "cancelled"];

/** Orders, newest first, including refused ones, which are demand, too. */
export function Orders() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const isOperator = useIsOperator();
  const { search, set } = useFilters();
  useDocumentTitle(t("nav.orders"));
  const status = STATUSES.find((each) => each === search.status);
  const { sku } = search;
  const columns: Column<Order>[] = [
    { id: "at", title: t("field.at"), cell: (order) => <Time at={order.created_at} withSeconds /> },
    { id: "id", title: t("field.order"), cell: (order) => <ShortId id={order.id} /> },
    {
      id: "status",
      title: t("field.status"),
      cell: (order) => <Status group="order" value={order.status} />,
    },
    { id: "lines", title: t("field.lines"), cell: (order) => <Lines order={order} /> },
    { id: "total", title: t("field.total"), kind: "number", cell: (order) => format.money(order.total) },
    { id: "customer", title: t("field.customer"), kind: "wrap", cell: (order) => order.customer },
    { id: "story", title: t("timeline.column"), cell: (order) => <TimelineLink order={order.id} /> },
    ...(isOperator
      ? [{ id: "actions", title: t("field.actions"), cell: (order: Order) => <CancelOrder order={order} /> }]
      : []),
  ];
  return (
    <>
      <PageHead title={t("nav.orders")} intro={t("orders.intro")} />
      <Filters>
        <FilterSelect
          label={t("field.status")}
          group="order"
          value={status}
          options={STATUSES}
          onChange={(value) => set({ status: value })}
        />
        <FilterText label={t("field.sku")} value={sku} onChange={(value) => set({ sku: value })} />
      </Filters>
      <PagedTable
        label={t("nav.orders")}
        queryKey={[...KEYS.orders, "list", status ?? "", sku ?? ""]}
        fetchPage={(cursor, signal) => {
          const query = {
            limit: PAGE,
            ...(status ? { status } : {}),
            ...(sku ? { sku } : {}),
            ...(cursor ? { cursor } : {}),
          };
          return ok(sales.GET("/api/v1/orders", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(order) => order.id}
      />
    </>
  );
}

/** Lines shown in a row; an order may have 50. */
const LINES_SHOWN = 3;

function Lines({ order }: { order: Order }) {
  const { t } = useTranslation("console");
  const more = order.lines.length - LINES_SHOWN;
  return (
    <>
      {order.lines.slice(0, LINES_SHOWN).map((line, place) => (
        <span key={line.sku}>
          {place > 0 && ", "}
          <To to="/products/$sku" params={{ sku: line.sku }}>
            {line.sku}
          </To>{" "}
          {line.filled < line.quantity && order.status !== "rejected"
            ? t("orders.filled", { filled: line.filled, quantity: line.quantity })
            : `× ${line.quantity}`}
        </span>
      ))}
      {more > 0 && ` ${t("orders.moreLines", { count: more })}`}
    </>
  );
}

function CancelOrder({ order }: { order: Order }) {
  const { t } = useTranslation("console");
  if (order.status === "rejected" || order.status === "cancelled") return null;
  const filled = order.lines.reduce((sum, line) => sum + line.filled, 0);
  const waiting = order.lines.reduce((sum, line) => sum + line.quantity - line.filled, 0);
  return (
    <Action
      label={t("orders.cancel")}
      ariaLabel={t("orders.cancelLabel", { id: order.id })}
      title={t("orders.cancelTitle")}
      what={
        <>
          <p>
            <code>{order.id}</code>
          </p>
          {filled > 0 && <p>{t("orders.cancelBack", { count: filled })}</p>}
          {waiting > 0 && <p>{t("orders.cancelWaiting", { count: waiting })}</p>}
          <p>{t("orders.cancelFinal")}</p>
        </>
      }
      danger
      run={() => ok(sales.POST("/api/v1/orders/{id}/cancel", { params: { path: { id: order.id } } }))}
      done={t("orders.cancelled")}
      touches={[KEYS.orders, KEYS.stock, KEYS.timeline, KEYS.auditLog]}
    />
  );
}
