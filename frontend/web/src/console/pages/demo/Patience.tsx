import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { answered, ok, production } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Button } from "../../../common/ui/Button";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import { toast } from "../../../common/ui/Toast";
import { type Factory, useFactories } from "../../api";
import { KEYS } from "../../logic/events";
import { factoryOfForm, formOfFactory } from "../../logic/factory";

/** Two retries, then a dead letter, so that a demo does not take hours. */
const IMPATIENT_S = [1, 2];

/** Switches each factory between its usual retry schedule, which takes hours, and a short one. */
export function Patience() {
  const { t } = useTranslation("console");
  const factories = useFactories();
  if (factories.error) return <ErrorNotice error={factories.error} />;
  if (!factories.data) return <Skeleton size="block" />;
  return (
    <div className="stack">
      <p>{t("demo.patienceWhat")}</p>
      {factories.data.items.map((factory) => (
        <Switch key={factory.id} factory={factory} />
      ))}
    </div>
  );
}

function Switch({ factory }: { factory: Factory }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const client = useQueryClient();
  const change = useMutation({
    mutationFn: async (schedule: number[] | null) => {
      const params = { path: { id: factory.id } };
      const { data, response } = await answered(production.GET("/api/v1/factories/{id}", { params }));
      const etag = response.headers.get("ETag");
      const body = { ...factoryOfForm(formOfFactory(data)), retry_schedule: schedule };
      const header = etag === null ? {} : { "If-Match": etag };
      return ok(production.PUT("/api/v1/factories/{id}", { params: { ...params, header }, body }));
    },
    onSuccess: () => {
      toast(t("factory.saved"));
      return client.invalidateQueries({ queryKey: KEYS.factories });
    },
  });
  const waits = factory.retry_schedule.reduce((sum, wait) => sum + wait, 0);
  const isImpatient = factory.retry_schedule.join() === IMPATIENT_S.join();
  return (
    <div className="row">
      <span>
        <code>{factory.id}</code>{" "}
        {t("demo.givesUp", {
          tries: factory.retry_schedule.length + 1,
          duration: format.duration(waits * 1000),
        })}
      </span>
      <Button
        size="small"
        isPending={change.isPending}
        onPress={() => change.mutate(isImpatient ? null : IMPATIENT_S)}
      >
        {t(isImpatient ? "demo.patient" : "demo.impatient")}
      </Button>
      {change.error && <ErrorNotice error={change.error} />}
    </div>
  );
}
