import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, type SalesComponents, sales } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Select } from "../../../common/ui/Select";
import { TextField } from "../../../common/ui/TextField";
import type { Stock } from "../../api";
import { KEYS } from "../../logic/events";
import { UNITS_MAX, wholeNumber } from "../../logic/policy";
import { Action } from "../../ui/Action";
import { useWords } from "../../words";

type Reason = SalesComponents["schemas"]["AdjustmentReason"];
const REASONS: readonly Reason[] = ["cycle_count", "damage", "return", "correction"];

/** Adjusts on hand after a count, damage, a return or a correction. */
export function Adjust({ stock }: { stock: Stock }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  const [text, setText] = useState("");
  const [reason, setReason] = useState<Reason>("cycle_count");
  const [note, setNote] = useState("");
  const delta = wholeNumber(text);
  const isValid = Number.isInteger(delta) && delta !== 0 && Math.abs(delta) <= UNITS_MAX;
  const after = stock.on_hand + delta;
  const { sku } = stock;
  return (
    <Action
      label={t("adjust.label")}
      title={t("adjust.title", { sku })}
      what={
        <p aria-live="polite">
          {isValid
            ? t(after < 0 ? "adjust.tooLow" : "adjust.what", {
                before: format.number(stock.on_hand),
                after: format.number(after),
              })
            : t("adjust.explain", { onHand: format.number(stock.on_hand) })}
          {isValid && delta > 0 && stock.backordered > 0 && ` ${t("adjust.fills")}`}
        </p>
      }
      isValid={isValid && after >= 0}
      onOpen={() => {
        setText("");
        setNote("");
      }}
      run={(_, keys) => {
        const body = { delta, reason, ...(note.trim() ? { note: note.trim() } : {}) };
        const header = { "Idempotency-Key": keys.keyFor(body) };
        return ok(
          sales.POST("/api/v1/products/{sku}/adjustments", { params: { path: { sku }, header }, body }),
        );
      }}
      done={t("adjust.done")}
      touches={[KEYS.stock, KEYS.orders, KEYS.auditLog]}
    >
      <TextField
        label={t("adjust.delta")}
        help={t("adjust.deltaHelp")}
        inputMode="numeric"
        isRequired
        value={text}
        onChange={setText}
        isInvalid={text.trim() !== "" && !isValid}
        error={t("adjust.deltaWrong")}
      />
      <Select
        label={t("adjust.reason")}
        value={reason}
        onChange={(chosen: Reason) => setReason(chosen)}
        options={REASONS.map((value) => ({ value, label: words("cause", value) }))}
      />
      <TextField label={t("adjust.note")} maxLength={500} value={note} onChange={setNote} />
    </Action>
  );
}
