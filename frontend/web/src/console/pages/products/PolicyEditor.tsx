import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, sales } from "../../../common/api";
import { Button } from "../../../common/ui/Button";
import { Notice } from "../../../common/ui/Notice";
import { Select } from "../../../common/ui/Select";
import { TextField } from "../../../common/ui/TextField";
import type { Stock } from "../../api";
import { KEYS } from "../../logic/events";
import {
  formFaults,
  formOfPolicy,
  type NumberField,
  type PolicyForm,
  perOrderOfForm,
  policyOfForm,
} from "../../logic/policy";
import { Action } from "../../ui/Action";
import { useWords } from "../../words";
import { Explained, useDecision } from "./Decision";

const MODES = ["auto", "manual", "off"] as const;
const SHORTAGES = ["reject", "choice", "backorder"] as const;
const NUMBERS = [
  "reorder_point",
  "order_up_to",
  "lot_size",
  "max_backordered",
  "max_per_order",
] as const satisfies readonly NumberField[];

interface Base {
  stock: Stock;
  etag: string | null;
}

const formOf = (stock: Stock) => formOfPolicy(stock.policy, stock.max_per_order);

/** Edits the replenishment policy and previews its current effect while typing. */
export function PolicyEditor({ stock, etag, isOperator }: Base & { isOperator: boolean }) {
  const { t } = useTranslation("console");
  const [base, setBase] = useState<Base>({ stock, etag });
  const [form, setForm] = useState(() => formOf(stock));
  const take = (next: Base) => {
    setBase(next);
    setForm(formOf(next.stock));
  };
  const isChanged = JSON.stringify(form) !== JSON.stringify(formOf(base.stock));
  const isOld = base.etag !== etag;
  // Without unsaved edits, a change made by someone else is shown at once.
  if (isOld && !isChanged) take({ stock, etag });
  return (
    <div className="stack">
      {isOld && isChanged && (
        <Notice tone="warn" role="status" title={t("policy.changedMeanwhile")}>
          <Button size="small" onPress={() => take({ stock, etag })}>
            {t("policy.takeTheirs")}
          </Button>
        </Notice>
      )}
      <PolicyFields form={form} onChange={setForm} isDisabled={!isOperator} />
      <Preview form={form} stock={stock} />
      {isOperator && (
        <div className="row">
          <Save
            base={base}
            form={form}
            isDisabled={!isChanged}
            // After saving there are no unsaved edits, so the new version is adopted at the next refetch.
            onSaved={() => {
              const saved = { policy: policyOfForm(form), max_per_order: perOrderOfForm(form) };
              setBase({ ...base, stock: { ...base.stock, ...saved } });
            }}
          />
          <Button size="small" variant="quiet" isDisabled={!isChanged} onPress={() => take({ stock, etag })}>
            {t("policy.reset")}
          </Button>
        </div>
      )}
    </div>
  );
}

export function PolicyFields(props: {
  form: PolicyForm;
  onChange(form: PolicyForm): void;
  isDisabled: boolean;
}) {
  const { t } = useTranslation("console");
  const words = useWords();
  const { form, onChange, isDisabled } = props;
  const faults = formFaults(form);
  return (
    <div className="fields">
      {NUMBERS.map((field) => {
        const fault = faults[field];
        return (
          <TextField
            key={field}
            label={t(`policy.${field}`)}
            help={t(`policy.${field}_help`)}
            inputMode="numeric"
            isDisabled={isDisabled}
            value={form[field]}
            onChange={(text) => onChange({ ...form, [field]: text })}
            isInvalid={fault !== undefined}
            error={fault && t(`policyFault.${fault}`)}
          />
        );
      })}
      <Select
        label={t("field.mode")}
        value={form.mode}
        isDisabled={isDisabled}
        onChange={(mode) => onChange({ ...form, mode })}
        options={MODES.map((value) => ({ value, label: words("mode", value) }))}
      />
      <Select
        label={t("policy.shortage")}
        value={form.shortage}
        isDisabled={isDisabled}
        onChange={(shortage) => onChange({ ...form, shortage })}
        options={SHORTAGES.map((value) => ({ value, label: words("shortage", value) }))}
      />
    </div>
  );
}

function Preview({ form, stock }: { form: PolicyForm; stock: Stock }) {
  const { t } = useTranslation("console");
  const isPaused = useDecision(stock.sku).data?.inputs.paused_until != null;
  const policy = policyOfForm(form);
  const isSound = Object.keys(formFaults(form)).length === 0;
  return (
    <div className="preview" aria-live="polite">
      <h3>{t("policy.preview")}</h3>
      {isSound ? (
        <Explained figures={stock} policy={policy} isPaused={isPaused} />
      ) : (
        <p className="soft">{t("policy.faulty")}</p>
      )}
    </div>
  );
}

function Save(props: { base: Base; form: PolicyForm; isDisabled: boolean; onSaved(): void }) {
  const { t } = useTranslation("console");
  const { stock, etag } = props.base;
  const policy = policyOfForm(props.form);
  const isSound = Object.keys(formFaults(props.form)).length === 0;
  return (
    <Action
      label={t("policy.save")}
      variant="primary"
      title={t("policy.saveTitle", { sku: stock.sku })}
      what={
        <>
          <p>{t("policy.saveWhat")}</p>
          {isSound && <Explained figures={stock} policy={policy} isPaused={false} />}
        </>
      }
      isDisabled={props.isDisabled || !isSound}
      run={async () => {
        const { name, price, factory_id, on_sale, sku } = stock;
        const max_per_order = perOrderOfForm(props.form);
        await ok(
          sales.PUT("/api/v1/products/{sku}", {
            params: { path: { sku }, header: etag === null ? {} : { "If-Match": etag } },
            body: { name, price, factory_id, on_sale, max_per_order, policy },
          }),
        );
        props.onSaved();
      }}
      done={t("policy.saved")}
      touches={[KEYS.stock, KEYS.replenishments, KEYS.auditLog]}
    />
  );
}
