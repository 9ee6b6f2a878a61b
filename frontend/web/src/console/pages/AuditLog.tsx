import { useTranslation } from "react-i18next";
import { ok } from "../../common/api";
import type { Column } from "../../common/ui/Table";
import { Time } from "../../common/ui/Time";
import { type AuditLogEntry, isLogging, LOGGING, PAGE, sharedClient } from "../api";
import { KEYS } from "../logic/events";
import { useDocumentTitle } from "../title";
import { PagedTable } from "../ui/PagedTable";
import { FilterSelect, Filters, Json, PageHead, ShortId } from "../ui/parts";
import { useFilters } from "../ui/To";
import { useWords } from "../words";

/** Operator actions, newest first. Each service keeps its own log. */
export function AuditLog() {
  const { t } = useTranslation("console");
  const words = useWords();
  const { search, set } = useFilters();
  useDocumentTitle(t("nav.auditLog"));
  const service = isLogging(search.service) ? search.service : "sales";
  const columns: Column<AuditLogEntry>[] = [
    { id: "at", title: t("field.at"), cell: (entry) => <Time at={entry.at} withSeconds /> },
    { id: "actor", title: t("field.actor"), cell: (entry) => entry.actor },
    {
      id: "action",
      title: t("field.action"),
      cell: (entry) => words("action", entry.action.replaceAll(".", "_")),
    },
    { id: "subject", title: t("field.subject"), cell: (entry) => <ShortId id={entry.subject} /> },
    { id: "reason", title: t("field.reason"), kind: "wrap", cell: (entry) => entry.reason },
    {
      id: "detail",
      title: t("field.detail"),
      kind: "wrap",
      cell: (entry) => (
        <details>
          <summary>{t("auditLog.show")}</summary>
          <Json value={entry.detail} label={t("field.detail")} />
        </details>
      ),
    },
    { id: "trace", title: t("field.traceId"), cell: (entry) => <code>{entry.trace_id}</code> },
  ];
  return (
    <>
      <PageHead title={t("nav.auditLog")} intro={t("auditLog.intro")} />
      <Filters>
        <FilterSelect
          label={t("field.service")}
          group="service"
          value={service === "sales" ? undefined : service}
          options={LOGGING.filter((each) => each !== "sales")}
          all={t("service.sales")}
          onChange={(value) => set({ service: value })}
        />
      </Filters>
      <PagedTable
        label={t("nav.auditLog")}
        queryKey={[...KEYS.auditLog, service]}
        fetchPage={(cursor, signal) => {
          const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
          return ok(sharedClient(service).GET("/api/v1/audit-log", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(entry) => entry.id}
      />
    </>
  );
}
