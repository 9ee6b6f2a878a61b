import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { answered, production } from "../../../common/api";
import { ProblemError } from "../../../common/api/problem";
import { useFormat } from "../../../common/format";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Notice } from "../../../common/ui/Notice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { Time } from "../../../common/ui/Time";
import type { Factory } from "../../api";
import { useLiveInterval } from "../../live";
import { KEYS } from "../../logic/events";
import { formOfFactory, NEW_FACTORY } from "../../logic/factory";
import { useIsOperator } from "../../session";
import { useDocumentTitle } from "../../title";
import { Facts, PageHead, Section } from "../../ui/parts";
import { To } from "../../ui/To";
import { Breaker } from "./Factories";
import { FactoryEditor } from "./FactoryEditor";
import { LeadTimeChart } from "./LeadTimeChart";

/** One factory. An id that does not exist yet opens the form to add it. */
export function FactoryAlone() {
  const { t } = useTranslation("console");
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const refetchInterval = useLiveInterval();
  const isOperator = useIsOperator();
  const query = useQuery({
    queryKey: [...KEYS.factories, "one", id],
    queryFn: async ({ signal }) => {
      const call = production.GET("/api/v1/factories/{id}", { params: { path: { id } }, signal });
      try {
        const { data, response } = await answered(call);
        return { factory: data, etag: response.headers.get("ETag") };
      } catch (error) {
        if (error instanceof ProblemError && error.status === 404) return { factory: null, etag: null };
        throw error;
      }
    },
    refetchInterval,
  });
  useDocumentTitle(query.data?.factory?.name ?? id);
  if (query.isPending) return <Skeleton size="block" />;
  if (!query.data) return <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />;
  const { factory, etag } = query.data;
  return (
    <>
      <PageHead title={factory?.name ?? t("factory.new")} intro={<code>{id}</code>}>
        {factory && (
          <To to="/requests" search={{ factory: id }}>
            {t("nav.requests")}
          </To>
        )}
      </PageHead>
      {factory ? <Health factory={factory} /> : <Notice tone="info" title={t("factory.notThere")} />}
      {factory && (
        <Section title={t("factory.leadTimes")}>
          <LeadTimeChart factory={factory} />
        </Section>
      )}
      {(factory || isOperator) && (
        <Section title={t("factory.settings")}>
          <FactoryEditor
            key={`${id} ${factory === null}`}
            id={id}
            form={factory ? formOfFactory(factory) : NEW_FACTORY}
            etag={etag}
            isOperator={isOperator}
          />
        </Section>
      )}
    </>
  );
}

function Health({ factory }: { factory: Factory }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const { breaker } = factory;
  const seconds = (value: number | null | undefined) =>
    value == null ? t("factory.notMeasured") : format.duration(value * 1000);
  return (
    <>
      <Facts
        facts={[
          [t("factory.breaker"), <Breaker key="breaker" state={breaker.state} />],
          [t("factory.failures"), format.number(breaker.failures_in_a_row)],
          [
            t("factory.openedAt"),
            breaker.opened_at ? <Time key="at" at={breaker.opened_at} withSeconds /> : "–",
          ],
          [
            t("factory.probeAt"),
            breaker.next_probe_at ? <Time key="at" at={breaker.next_probe_at} withSeconds /> : "–",
          ],
          [t("factory.p50"), seconds(factory.lead_time_p50_s)],
          [t("factory.p90"), seconds(factory.lead_time_p90_s)],
        ]}
      />
      {breaker.last_error && (
        <Notice tone="warn" title={t("factory.lastError")}>
          <p lang="en">{breaker.last_error}</p>
        </Notice>
      )}
    </>
  );
}
