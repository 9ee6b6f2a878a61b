import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { ok, type ProductionComponents, production } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Badge } from "../../../common/ui/Badge";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { type Column, Table } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { useIsOperator } from "../../session";
import { useDocumentTitle } from "../../title";
import { Held } from "../../ui/Held";
import { Facts, Json, PageHead, Section, Status } from "../../ui/parts";
import { To } from "../../ui/To";
import { RequestActions } from "./RequestActions";
import { NextAttempt } from "./Requests";

export type RequestWithAttempts = ProductionComponents["schemas"]["ProductionRequestAlone"];
type Attempt = ProductionComponents["schemas"]["ProductionAttempt"];

/** One production request with every call to the factory, and the operator's actions. */
export function RequestAlone() {
  const { t } = useTranslation("console");
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const refetchInterval = useLiveInterval();
  useDocumentTitle(t("requests.one"));
  const query = useQuery({
    queryKey: [...KEYS.requests, "one", id],
    queryFn: ({ signal }) =>
      ok(production.GET("/api/v1/production-requests/{id}", { params: { path: { id } }, signal })),
    refetchInterval,
  });
  return (
    <>
      <PageHead title={t("requests.one")} intro={<code>{id}</code>}>
        <To to="/timeline" search={{ request: id }}>
          {t("timeline.link")}
        </To>
      </PageHead>
      {query.error && <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />}
      {query.isPending && <Skeleton size="block" />}
      {query.data && <Found request={query.data} />}
    </>
  );
}

function Found({ request }: { request: RequestWithAttempts }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const isOperator = useIsOperator();
  return (
    <>
      {isOperator && (
        <Held name={request.id} value={request}>
          {(held) => <RequestActions request={held} />}
        </Held>
      )}
      <Facts
        facts={[
          [
            t("field.status"),
            <span key="status">
              <Status group="production" value={request.status} />{" "}
              {request.overdue && <Badge tone="bad">{t("requests.overdue")}</Badge>}
            </span>,
          ],
          [
            t("field.sku"),
            <To key="sku" to="/products/$sku" params={{ sku: request.sku }}>
              {request.sku}
            </To>,
          ],
          [t("field.receivedOf"), `${format.number(request.received)} / ${format.number(request.quantity)}`],
          [
            t("field.factory"),
            <To key="factory" to="/factories/$id" params={{ id: request.factory_id }}>
              {request.factory_id}
            </To>,
          ],
          [t("requests.fallbackFrom"), request.fallback_from ?? "–"],
          [
            t("field.nextAttempt"),
            request.next_attempt_at ? <NextAttempt key="next" request={request} /> : "–",
          ],
          [t("requests.job"), request.factory_job_id ?? "–"],
          [t("field.createdAt"), <Time key="created" at={request.created_at} withSeconds />],
          [t("field.updatedAt"), <Time key="updated" at={request.updated_at} withSeconds />],
          [t("field.traceId"), <code key="trace">{request.trace_id}</code>],
        ]}
      />
      <p lang="en" className="soft">
        {request.reason}
      </p>
      {request.outcome_reason && (
        <p>
          {t("requests.outcome")}: <span lang="en">{request.outcome_reason}</span>
        </p>
      )}
      <Section title={t("requests.attempts")}>
        <Attempts attempts={request.attempts} />
      </Section>
    </>
  );
}

function Attempts({ attempts }: { attempts: Attempt[] }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const columns: Column<Attempt>[] = [
    {
      id: "number",
      title: t("requests.number"),
      kind: "number",
      cell: (attempt) => format.number(attempt.number),
    },
    { id: "at", title: t("field.at"), cell: (attempt) => <Time at={attempt.at} withSeconds /> },
    {
      id: "duration",
      title: t("field.duration"),
      kind: "number",
      cell: (attempt) =>
        attempt.duration_ms == null ? t("requests.underWay") : format.duration(attempt.duration_ms),
    },
    { id: "factory", title: t("field.factory"), cell: (attempt) => attempt.factory_id },
    {
      id: "outcome",
      title: t("requests.outcome"),
      cell: (attempt) => attempt.outcome && <Status group="attempt" value={attempt.outcome} />,
    },
    {
      id: "status",
      title: t("requests.answerStatus"),
      kind: "number",
      cell: (attempt) => attempt.status ?? "–",
    },
    {
      id: "answer",
      title: t("requests.answer"),
      kind: "wrap",
      cell: (attempt) => (
        <>
          {attempt.error && <span lang="en">{attempt.error}</span>}
          {attempt.answer && (
            <details>
              <summary>{t("requests.showAnswer", { number: attempt.number })}</summary>
              <Json value={attempt.answer} label={t("requests.answerOf", { number: attempt.number })} />
            </details>
          )}
        </>
      ),
    },
    { id: "trace", title: t("field.traceId"), cell: (attempt) => <code>{attempt.trace_id}</code> },
  ];
  return (
    <Table
      label={t("requests.attempts")}
      columns={columns}
      rows={attempts}
      rowKey={(attempt) => String(attempt.number)}
      empty={t("requests.noAttempt")}
    />
  );
}
