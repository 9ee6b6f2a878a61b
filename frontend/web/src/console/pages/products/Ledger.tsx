import { useMutation } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { SalesComponents } from "../../../common/api";
import { request } from "../../../common/api/http";
import { useFormat } from "../../../common/format";
import { Button } from "../../../common/ui/Button";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import type { Column } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { fetchMovements, type Movement, PAGE, PAGE_MAX } from "../../api";
import { KEYS } from "../../logic/events";
import { uuidTime } from "../../logic/history";
import { filteredPage } from "../../logic/paging";
import { PagedTable } from "../../ui/PagedTable";
import { FilterSelect, Filters, ShortId, Status, TimelineLink } from "../../ui/parts";
import { useFilters } from "../../ui/To";

type Cause = SalesComponents["schemas"]["MovementCause"];
const CAUSES: readonly Cause[] = [
  "sale",
  "receipt",
  "backorder_fill",
  "cancellation",
  "cycle_count",
  "damage",
  "return",
  "correction",
];
const OF_ORDERS: readonly string[] = ["sale", "backorder_fill", "cancellation"];

/** Every change of on hand, newest first, with the whole ledger as a CSV download. */
export function Ledger({ sku }: { sku: string }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const { search, set } = useFilters();
  const { cause } = search;
  const csv = useCsv(sku);
  const columns: Column<Movement>[] = [
    { id: "at", title: t("field.at"), cell: (entry) => <Time at={entry.at} withSeconds /> },
    {
      id: "cause",
      title: t("field.cause"),
      cell: (entry) => <Status group="cause" value={entry.cause} tone="neutral" />,
    },
    {
      id: "delta",
      title: t("field.delta"),
      kind: "number",
      cell: (entry) => format.number(entry.delta, { signDisplay: "exceptZero" }),
    },
    { id: "before", title: t("field.before"), kind: "number", cell: (entry) => format.number(entry.before) },
    { id: "after", title: t("field.after"), kind: "number", cell: (entry) => format.number(entry.after) },
    {
      id: "reference",
      title: t("field.reference"),
      cell: (entry) => (
        <>
          <ShortId id={entry.reference} />{" "}
          {OF_ORDERS.includes(entry.cause) && uuidTime(entry.reference) !== undefined && (
            <TimelineLink order={entry.reference} />
          )}
        </>
      ),
    },
    { id: "actor", title: t("field.actor"), cell: (entry) => entry.actor },
    { id: "note", title: t("field.note"), kind: "wrap", cell: (entry) => entry.note },
  ];
  const fetchPage = (cursor: string | undefined, signal: AbortSignal) => {
    const page = (limit: number) => (from: string | undefined) =>
      fetchMovements(sku, { limit, ...(from ? { cursor: from } : {}) }, signal);
    if (cause === undefined) return page(PAGE)(cursor);
    return filteredPage(page(PAGE_MAX), (entry: Movement) => entry.cause === cause, cursor, PAGE);
  };
  return (
    <>
      <Filters>
        <FilterSelect
          label={t("field.cause")}
          group="cause"
          value={cause}
          options={CAUSES}
          onChange={(value) => set({ cause: value })}
        />
        <Button size="small" isPending={csv.isPending} onPress={() => csv.mutate()}>
          {t("ledger.csv")}
        </Button>
      </Filters>
      {csv.error && <ErrorNotice error={csv.error} />}
      <PagedTable
        label={t("ledger.title")}
        queryKey={[...KEYS.stock, "ledger", sku, cause ?? ""]}
        fetchPage={fetchPage}
        columns={columns}
        rowKey={(entry) => entry.id}
      />
    </>
  );
}

/** Downloads the whole ledger. A plain link would return JSON, because the format is chosen by a header. */
function useCsv(sku: string) {
  return useMutation({
    mutationFn: async () => {
      const path = `/sales/api/v1/stock/${encodeURIComponent(sku)}/movements`;
      const answer = await request(path, { headers: { Accept: "text/csv" } });
      const url = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `ledger-${sku.replaceAll(":", "_")}.csv`;
      link.click();
      URL.revokeObjectURL(url);
    },
  });
}
