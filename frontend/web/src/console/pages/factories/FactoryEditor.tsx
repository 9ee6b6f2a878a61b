import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, production } from "../../../common/api";
import { Button } from "../../../common/ui/Button";
import { Notice } from "../../../common/ui/Notice";
import { Select } from "../../../common/ui/Select";
import { TextField } from "../../../common/ui/TextField";
import { KEYS } from "../../logic/events";
import { FACTORY_FIELDS, type FactoryForm, factoryFaults, factoryOfForm } from "../../logic/factory";
import { Action } from "../../ui/Action";

interface Base {
  form: FactoryForm;
  etag: string | null;
}

/** Settings of a factory. A concurrent change is shown here; saving over it is refused by the service. */
export function FactoryEditor({
  id,
  form: current,
  etag,
  isOperator,
}: Base & { id: string; isOperator: boolean }) {
  const { t } = useTranslation("console");
  const [base, setBase] = useState<Base>({ form: current, etag });
  const [form, setForm] = useState(current);
  const take = () => {
    setBase({ form: current, etag });
    setForm(current);
  };
  const isChanged = JSON.stringify(form) !== JSON.stringify(base.form);
  const isOld = base.etag !== etag;
  if (isOld && !isChanged) take();
  const faults = factoryFaults(form);
  return (
    <div className="stack">
      {isOld && isChanged && (
        <Notice tone="warn" role="status" title={t("policy.changedMeanwhile")}>
          <Button size="small" onPress={take}>
            {t("policy.takeTheirs")}
          </Button>
        </Notice>
      )}
      <div className="fields">
        {FACTORY_FIELDS.map((field) => (
          <TextField
            key={field}
            label={t(`factory.${field}`)}
            help={t(`factory.${field}_help`)}
            isDisabled={!isOperator}
            value={form[field]}
            onChange={(text) => setForm({ ...form, [field]: text })}
            isInvalid={isChanged && faults.includes(field)}
            error={t("factory.faulty")}
          />
        ))}
        <Select
          label={t("factory.enabled")}
          value={form.enabled ? "yes" : "no"}
          isDisabled={!isOperator}
          onChange={(value) => setForm({ ...form, enabled: value === "yes" })}
          options={[
            { value: "yes", label: t("yes") },
            { value: "no", label: t("no") },
          ]}
        />
      </div>
      {isOperator && (
        <div className="row">
          <Action
            label={t("factory.save")}
            variant="primary"
            title={t("factory.saveTitle", { id })}
            what={
              <>
                <p>{t("factory.saveWhat")}</p>
                {!form.enabled && base.form.enabled && <p>{t("factory.disableWhat")}</p>}
              </>
            }
            isDisabled={!isChanged || faults.length > 0}
            run={async () => {
              const header = base.etag === null ? {} : { "If-Match": base.etag };
              const body = factoryOfForm(form);
              await ok(production.PUT("/api/v1/factories/{id}", { params: { path: { id }, header }, body }));
              setBase({ ...base, form });
            }}
            done={t("factory.saved")}
            touches={[KEYS.factories, KEYS.requests, KEYS.auditLog]}
          />
          <Button size="small" variant="quiet" isDisabled={!isChanged} onPress={take}>
            {t("policy.reset")}
          </Button>
        </div>
      )}
    </div>
  );
}
