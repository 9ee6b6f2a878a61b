import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { requestJson } from "../../../common/api/http";
import { Badge } from "../../../common/ui/Badge";
import { Button } from "../../../common/ui/Button";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Select } from "../../../common/ui/Select";
import { Skeleton } from "../../../common/ui/Skeleton";
import { TextField } from "../../../common/ui/TextField";
import { toast } from "../../../common/ui/Toast";
import {
  type FaultForm,
  type Faults,
  faultsOfForm,
  faultTroubles,
  formOfFaults,
  NUMBERS,
  PRESETS,
  type Preset,
  SWITCHES,
} from "../../logic/faults";

const FAULTS = ["demo", "faults"];
const LOOK_AGAIN_MS = 3_000;
const DROPS = ["", "before_accepting", "after_accepting"] as const;

/** Sets the faults of the simulated factory. */
export function FaultsForm() {
  const faults = useQuery({
    queryKey: FAULTS,
    queryFn: () => requestJson<Faults>("/demo/faults"),
    refetchInterval: LOOK_AGAIN_MS,
  });
  if (faults.error) return <ErrorNotice error={faults.error} onRetry={() => void faults.refetch()} />;
  if (!faults.data) return <Skeleton size="block" />;
  return <Form key={JSON.stringify(faults.data)} faults={faults.data} />;
}

function useSetFaults() {
  const { t } = useTranslation("console");
  const client = useQueryClient();
  return useMutation({
    mutationFn: (faults: Faults | null) =>
      requestJson<unknown>("/demo/faults", faults === null ? "DELETE" : "PUT", faults ?? undefined),
    onSuccess: (_, faults) => {
      toast(t(faults === null ? "demo.faultsEnded" : "demo.faultsSet"));
      return client.invalidateQueries({ queryKey: FAULTS });
    },
  });
}

const isGoodDay = (faults: Faults) =>
  JSON.stringify(formOfFaults(faults)) === JSON.stringify(formOfFaults({}));

function Form({ faults }: { faults: Faults }) {
  const { t } = useTranslation("console");
  const [form, setForm] = useState<FaultForm>(() => formOfFaults(faults));
  const change = useSetFaults();
  const troubles = faultTroubles(form);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (troubles.length === 0) change.mutate(faultsOfForm(form, faults));
  };
  // The callback route of the local stack is not a fault, so it is kept.
  const preset = (name: Preset) => change.mutate(faultsOfForm(formOfFaults(PRESETS[name]), faults));
  const goodDay = () =>
    change.mutate(faults.callback_via == null ? null : faultsOfForm(formOfFaults({}), faults));
  return (
    <div className="stack">
      <p>
        {t("demo.now")}{" "}
        <Badge tone={isGoodDay(faults) ? "good" : "warn"}>
          {t(isGoodDay(faults) ? "demo.goodDay" : "demo.trouble")}
        </Badge>
      </p>
      <div className="row">
        {(Object.keys(PRESETS) as Preset[]).map((name) => (
          <Button key={name} size="small" isDisabled={change.isPending} onPress={() => preset(name)}>
            {t(`demo.preset.${name}`)}
          </Button>
        ))}
        <Button
          size="small"
          variant="primary"
          isDisabled={isGoodDay(faults) || change.isPending}
          onPress={goodDay}
        >
          {t("demo.heal")}
        </Button>
      </div>
      {change.error && <ErrorNotice error={change.error} />}
      <details>
        <summary>{t("demo.allFaults")}</summary>
        <form className="stack" onSubmit={submit}>
          <div className="fields">
            {NUMBERS.map((field) => (
              <TextField
                key={field}
                label={t(`fault.${field}`)}
                inputMode="numeric"
                value={form[field]}
                onChange={(text) => setForm({ ...form, [field]: text })}
                isInvalid={troubles.includes(field)}
                error={t("fault.faulty")}
              />
            ))}
            <Select
              label={t("fault.drop_connection")}
              value={form.drop_connection}
              onChange={(drop_connection) => setForm({ ...form, drop_connection })}
              options={DROPS.map((value) => ({
                value,
                label: t(`fault.drop.${value === "" ? "never" : value}`),
              }))}
            />
          </div>
          {SWITCHES.map((field) => (
            <label key={field} className="switch">
              <input
                type="checkbox"
                checked={form[field]}
                onChange={(event) => setForm({ ...form, [field]: event.target.checked })}
              />
              {t(`fault.${field}`)}
            </label>
          ))}
          {troubles.includes("refuse_and_drop") && <p className="field-error">{t("fault.refuseAndDrop")}</p>}
          {troubles.includes("silent_and_loud") && <p className="field-error">{t("fault.silentAndLoud")}</p>}
          <div className="row">
            <Button
              type="submit"
              variant="primary"
              size="small"
              isDisabled={troubles.length > 0}
              isPending={change.isPending}
            >
              {t("demo.setFaults")}
            </Button>
          </div>
        </form>
      </details>
    </div>
  );
}
