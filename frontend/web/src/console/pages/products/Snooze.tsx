import { useId, useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, sales } from "../../../common/api";
import { KEYS } from "../../logic/events";
import { Action } from "../../ui/Action";

/** Local time in the format of a `datetime-local` input: without a time zone. */
export function localInput(at: Date): string {
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

const tomorrow = () => localInput(new Date(Date.now() + 24 * 3600_000));

/** Pauses automatic replenishment until a given time. */
export function Snooze({ sku }: { sku: string }) {
  const { t } = useTranslation("console");
  const [until, setUntil] = useState(tomorrow);
  const id = useId();
  const at = new Date(until);
  const isValid = at.getTime() > Date.now();
  return (
    <Action
      label={t("snooze.label")}
      title={t("snooze.title", { sku })}
      what={<p>{t("snooze.what")}</p>}
      needsReason
      isValid={isValid}
      onOpen={() => setUntil(tomorrow())}
      run={(reason) => {
        const body = { until: at.toISOString(), reason };
        return ok(sales.POST("/api/v1/stock/{sku}/snooze", { params: { path: { sku } }, body }));
      }}
      done={t("snooze.done")}
      touches={[KEYS.stock, KEYS.auditLog]}
    >
      <div className="field">
        <label htmlFor={id}>{t("snooze.until")}</label>
        <input
          id={id}
          type="datetime-local"
          value={until}
          onChange={(event) => setUntil(event.target.value)}
        />
      </div>
    </Action>
  );
}
