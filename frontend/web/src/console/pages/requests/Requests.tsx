import { useTranslation } from "react-i18next";
import { ok, production } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Badge } from "../../../common/ui/Badge";
import type { Column } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { PAGE, type ProductionRequest, type ProductionStatus } from "../../api";
import { KEYS } from "../../logic/events";
import { useDocumentTitle } from "../../title";
import { PagedTable } from "../../ui/PagedTable";
import { FilterSelect, Filters, FilterText, PageHead, ShortId, Status, TimelineLink } from "../../ui/parts";
import { To, useFilters } from "../../ui/To";
import { useWords } from "../../words";

const STATUSES: readonly ProductionStatus[] = [
  "requested",
  "sending",
  "retrying",
  "accepted",
  "partly_received",
  "received",
  "dead_lettered",
  "refused",
  "cancelled",
];

export function Requests() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const { search, set } = useFilters();
  useDocumentTitle(t("nav.requests"));
  const status = STATUSES.find((each) => each === search.status);
  const { sku, factory } = search;
  const overdue = search.overdue === "true" ? true : search.overdue === "false" ? false : undefined;
  const columns: Column<ProductionRequest>[] = [
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
      id: "factory",
      title: t("field.factory"),
      cell: (each) => (
        <To to="/factories/$id" params={{ id: each.factory_id }}>
          {each.factory_id}
        </To>
      ),
    },
    {
      id: "status",
      title: t("field.status"),
      cell: (each) => (
        <>
          <Status group="production" value={each.status} />{" "}
          {each.overdue && <Badge tone="bad">{t("requests.overdue")}</Badge>}
        </>
      ),
    },
    {
      id: "received",
      title: t("field.receivedOf"),
      kind: "number",
      cell: (each) => `${format.number(each.received)} / ${format.number(each.quantity)}`,
    },
    {
      id: "attempts",
      title: t("field.attempts"),
      kind: "number",
      cell: (each) => format.number(each.attempt_count),
    },
    { id: "next", title: t("field.nextAttempt"), cell: (each) => <NextAttempt request={each} /> },
    { id: "story", title: t("timeline.column"), cell: (each) => <TimelineLink request={each.id} /> },
  ];
  return (
    <>
      <PageHead title={t("nav.requests")} intro={t("requests.intro")} />
      <Filters>
        <FilterSelect
          label={t("field.status")}
          group="production"
          value={status}
          options={STATUSES}
          onChange={(value) => set({ status: value })}
        />
        <FilterSelect
          label={t("requests.overdue")}
          group="overdue"
          value={overdue === undefined ? undefined : String(overdue)}
          options={["true", "false"]}
          onChange={(value) => set({ overdue: value })}
        />
        <FilterText label={t("field.sku")} value={sku} onChange={(value) => set({ sku: value })} />
        <FilterText
          label={t("field.factory")}
          value={factory}
          onChange={(value) => set({ factory: value })}
        />
      </Filters>
      <PagedTable
        label={t("nav.requests")}
        queryKey={[...KEYS.requests, "list", status ?? "", sku ?? "", factory ?? "", String(overdue)]}
        fetchPage={(cursor, signal) => {
          const query = {
            limit: PAGE,
            ...(status ? { status } : {}),
            ...(sku ? { sku } : {}),
            ...(factory ? { factory } : {}),
            ...(overdue === undefined ? {} : { overdue }),
            ...(cursor ? { cursor } : {}),
          };
          return ok(production.GET("/api/v1/production-requests", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(each) => each.id}
      />
    </>
  );
}

/** Time of the next call to the factory, and the reason if it is held back. */
export function NextAttempt({ request }: { request: ProductionRequest }) {
  const words = useWords();
  return (
    <>
      {request.next_attempt_at && <Time at={request.next_attempt_at} withSeconds />}{" "}
      {request.waiting_for && <Badge tone="warn">{words("waitingFor", request.waiting_for)}</Badge>}
    </>
  );
}
