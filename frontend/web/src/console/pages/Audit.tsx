import { useTranslation } from "react-i18next";
import { useFormat } from "../../common/format";
import { Badge } from "../../common/ui/Badge";
import { Button } from "../../common/ui/Button";
import { ErrorNotice } from "../../common/ui/ErrorNotice";
import { type Column, Table } from "../../common/ui/Table";
import { Time } from "../../common/ui/Time";
import { type AuditReport, isService, SERVICES, type Service, useAudit } from "../api";
import { useDocumentTitle } from "../title";
import { PageHead, Section } from "../ui/parts";
import { To, useFilters } from "../ui/To";

type Check = AuditReport["checks"][number];

/** The consistency checks of each service, run against its rows. */
export function Audit() {
  const { t } = useTranslation("console");
  const { search } = useFilters();
  useDocumentTitle(t("nav.audit"));
  const services = isService(search.service) ? [search.service] : SERVICES;
  return (
    <>
      <PageHead title={t("nav.audit")} intro={t("audit.intro")}>
        {services.length < SERVICES.length && <To to="/audit">{t("audit.all")}</To>}
      </PageHead>
      {services.map((service) => (
        <Report key={service} service={service} />
      ))}
    </>
  );
}

function Report({ service }: { service: Service }) {
  const { t } = useTranslation("console");
  const audit = useAudit(service);
  const columns: Column<Check>[] = [
    {
      id: "ok",
      title: t("audit.result"),
      cell: (check) => (
        <Badge tone={check.ok ? "good" : "bad"}>{t(check.ok ? "audit.ok" : "audit.broken")}</Badge>
      ),
    },
    { id: "name", title: t("audit.rule"), cell: (check) => <code>{check.name}</code> },
    {
      id: "detail",
      title: t("field.detail"),
      kind: "wrap",
      cell: (check) => <span lang="en">{check.detail}</span>,
    },
  ];
  return (
    <Section
      title={t(`service.${service}`)}
      actions={
        <>
          {audit.data && (
            <span className="soft">
              {t("audit.asOf")} <Time at={audit.data.as_of} withSeconds />
            </span>
          )}
          <Button
            size="small"
            isPending={audit.isFetching}
            onPress={() => void audit.refetch()}
            aria-label={t("audit.againLabel", { service: t(`service.${service}`) })}
          >
            {t("audit.again")}
          </Button>
        </>
      }
    >
      {audit.error && <ErrorNotice error={audit.error} />}
      {(audit.data || !audit.error) && (
        <Table
          label={t("audit.rulesOf", { service: t(`service.${service}`) })}
          columns={columns}
          rows={audit.data?.checks}
          rowKey={(check) => check.name}
        />
      )}
      {audit.data && audit.data.totals.length > 0 && <Totals service={service} report={audit.data} />}
    </Section>
  );
}

/** Maximum number of products with totals; each service has its own columns. */
const TOTALS_SHOWN = 200;

function Totals({ service, report }: { service: Service; report: AuditReport }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  type Total = Record<string, unknown>;
  const totals = report.totals as unknown as Total[];
  const names = Object.keys(totals[0] ?? {}).filter((name) => name !== "sku");
  const columns: Column<Total>[] = [
    { id: "sku", title: t("field.sku"), cell: (total) => String(total.sku) },
    ...names.map((name) => ({
      id: name,
      title: name,
      kind: "number" as const,
      cell: (total: Total) =>
        typeof total[name] === "number" ? format.number(total[name]) : String(total[name] ?? ""),
    })),
  ];
  return (
    <details>
      <summary>{t("audit.totals", { count: totals.length })}</summary>
      <Table
        label={t("audit.totalsOf", { service: t(`service.${service}`) })}
        columns={columns}
        rows={totals.slice(0, TOTALS_SHOWN)}
        rowKey={(total) => String(total.sku)}
      />
    </details>
  );
}
