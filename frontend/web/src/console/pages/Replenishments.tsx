import { useTranslation } from "react-i18next";
import { ok, sales } from "../../common/api";
import { useFormat } from "../../common/format";
import type { Column } from "../../common/ui/Table";
import { Time } from "../../common/ui/Time";
import { PAGE, type Replenishment, type ReplenishmentStatus } from "../api";
import { KEYS } from "../logic/events";
import { useIsOperator } from "../session";
import { useDocumentTitle } from "../title";
import { Action } from "../ui/Action";
import { PagedTable } from "../ui/PagedTable";
import { FilterSelect, Filters, FilterText, PageHead, ShortId, Status, TimelineLink } from "../ui/parts";
import { To, useFilters } from "../ui/To";
import { useWords } from "../words";
import { RequestByHand } from "./RequestByHand";

const STATUSES: readonly ReplenishmentStatus[] = [
  "proposed",
  "open",
  "stalled",
  "complete",
  "closed_short",
  "refused",
  "cancelled",
];
const CLOSABLE: readonly string[] = ["proposed", "open", "stalled"];

export function Replenishments() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  const isOperator = useIsOperator();
  const { search, set } = useFilters();
  useDocumentTitle(t("nav.replenishments"));
  const status = STATUSES.find((each) => each === search.status);
  const { sku } = search;
  const columns: Column<Replenishment>[] = [
    { id: "at", title: t("field.at"), cell: (each) => <Time at={each.created_at} withSeconds /> },
    {
      id: "id",
      title: t("field.request"),
      cell: (each) => (
        <To to="/requests/$id" params={{ id: each.id }}>
          <ShortId id={each.id} />
        </To>
      ),
    },
    {
      id: "sku",
      title: t("field.sku"),
      cell: ({ sku }) => (
        <To to="/products/$sku" params={{ sku }}>
          {sku}
        </To>
      ),
    },
    {
      id: "status",
      title: t("field.status"),
      cell: (each) => <Status group="replenishment" value={each.status} />,
    },
    {
      id: "received",
      title: t("field.receivedOf"),
      kind: "number",
      cell: (each) => `${format.number(each.received)} / ${format.number(each.quantity)}`,
    },
    { id: "reason", title: t("field.reason"), cell: (each) => words("replenishmentReason", each.reason) },
    {
      id: "explanation",
      title: t("field.explanation"),
      kind: "wrap",
      cell: (each) => <span lang="en">{each.explanation}</span>,
    },
    { id: "story", title: t("timeline.column"), cell: (each) => <TimelineLink request={each.id} /> },
    ...(isOperator
      ? [
          {
            id: "actions",
            title: t("field.actions"),
            cell: (each: Replenishment) => <Actions replenishment={each} />,
          },
        ]
      : []),
  ];
  return (
    <>
      <PageHead title={t("nav.replenishments")} intro={t("replenishments.intro")}>
        {isOperator && <RequestByHand />}
      </PageHead>
      <Filters>
        <FilterSelect
          label={t("field.status")}
          group="replenishment"
          value={status}
          options={STATUSES}
          onChange={(value) => set({ status: value })}
        />
        <FilterText label={t("field.sku")} value={sku} onChange={(value) => set({ sku: value })} />
      </Filters>
      <PagedTable
        label={t("nav.replenishments")}
        queryKey={[...KEYS.replenishments, "list", status ?? "", sku ?? ""]}
        fetchPage={(cursor, signal) => {
          const query = {
            limit: PAGE,
            ...(status ? { status } : {}),
            ...(sku ? { sku } : {}),
            ...(cursor ? { cursor } : {}),
          };
          return ok(sales.GET("/api/v1/replenishments", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(each) => each.id}
      />
    </>
  );
}

function Actions({ replenishment }: { replenishment: Replenishment }) {
  const { t } = useTranslation("console");
  const { id, sku, status, quantity, received } = replenishment;
  const params = { path: { id } };
  const touches = [KEYS.replenishments, KEYS.requests, KEYS.stock, KEYS.timeline, KEYS.auditLog];
  return (
    <div className="row">
      {status === "proposed" && (
        <Action
          label={t("replenishments.approve")}
          ariaLabel={t("replenishments.approveLabel", { sku, quantity })}
          variant="primary"
          title={t("replenishments.approveTitle")}
          what={
            <p>{t("replenishments.approveWhat", { sku, quantity, factory: replenishment.factory_id })}</p>
          }
          run={() => ok(sales.POST("/api/v1/replenishments/{id}/approve", { params }))}
          done={t("replenishments.approved")}
          touches={touches}
        />
      )}
      {CLOSABLE.includes(status) && (
        <Action
          label={t("replenishments.close")}
          ariaLabel={t("replenishments.closeLabel", { sku, quantity })}
          title={t("replenishments.closeTitle")}
          what={
            <>
              <p>{t("replenishments.closeWhat", { sku, missing: quantity - received })}</p>
              <p>{t("replenishments.closeAgain")}</p>
            </>
          }
          danger
          needsReason
          run={(reason) => ok(sales.POST("/api/v1/replenishments/{id}/close", { params, body: { reason } }))}
          done={t("replenishments.closed")}
          touches={touches}
        />
      )}
    </div>
  );
}
