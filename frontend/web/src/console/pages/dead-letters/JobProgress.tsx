import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useId } from "react";
import { useTranslation } from "react-i18next";
import { ok } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { announce } from "../../../common/ui/Announcer";
import { Badge } from "../../../common/ui/Badge";
import { Button } from "../../../common/ui/Button";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { type Service, sharedClient } from "../../api";
import { KEYS } from "../../logic/events";
import { outcomeOf } from "../../logic/redrive";
import { Facts } from "../../ui/parts";

const POLL_MS = 1_000;

/** Progress of a redrive, and the actual result of its messages. */
export function JobProgress({ service, id, onClose }: { service: Service; id: string; onClose(): void }) {
  const { t } = useTranslation("console");
  const { t: common } = useTranslation();
  const format = useFormat();
  const client = useQueryClient();
  const label = useId();
  const query = useQuery({
    queryKey: ["redrive", service, id],
    queryFn: ({ signal }) =>
      ok(
        sharedClient(service).GET("/api/v1/dead-letters/redrives/{id}", { params: { path: { id } }, signal }),
      ),
    refetchInterval: ({ state }) => (state.data?.done ? false : POLL_MS),
  });
  const job = query.data;
  const outcome = job && outcomeOf(job);
  const said = outcome && t(`redrive.${outcome}`);
  useEffect(() => {
    if (outcome === undefined || outcome === "running") return;
    announce(said ?? "");
    void client.invalidateQueries({ queryKey: KEYS.deadLetters });
  }, [outcome, said, client]);
  return (
    <section className="section job" aria-labelledby={label}>
      <div className="section-head">
        <h2 id={label}>{t("redrive.title")}</h2>
        <Button size="small" variant="quiet" onPress={onClose}>
          {common("action.close")}
        </Button>
      </div>
      {query.error && <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />}
      {!job && !query.error && <Skeleton size="block" />}
      {job && outcome && (
        <>
          <p>
            <Badge tone={{ running: "info", good: "good", mixed: "warn", bad: "bad" }[outcome] as "info"}>
              {said}
            </Badge>
          </p>
          <progress max={job.total} value={job.total - job.pending} aria-label={t("redrive.title")} />
          <Facts
            facts={[
              [t("redrive.total"), format.number(job.total)],
              [t("redrive.pending"), format.number(job.pending)],
              [t("redrive.processed"), format.number(job.processed)],
              [t("redrive.failedAgain"), format.number(job.failed_again)],
              [t("redrive.discarded"), format.number(job.discarded)],
            ]}
          />
        </>
      )}
    </section>
  );
}
