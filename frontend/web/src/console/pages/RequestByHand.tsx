import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, sales } from "../../common/api";
import { TextField } from "../../common/ui/TextField";
import { KEYS } from "../logic/events";
import { UNITS_MAX, wholeNumber } from "../logic/policy";
import { Action } from "../ui/Action";

/** Orders from the factory manually, regardless of the policy. Without `sku` the dialog asks for one. */
export function RequestByHand({ sku: given }: { sku?: string }) {
  const { t } = useTranslation("console");
  const [typed, setTyped] = useState("");
  const [text, setText] = useState("");
  const sku = given ?? typed.trim();
  const quantity = wholeNumber(text);
  const isQuantity = quantity >= 1 && quantity <= UNITS_MAX;
  return (
    <Action
      label={t("byHand.label")}
      title={t("byHand.title")}
      what={<p>{t("byHand.what")}</p>}
      isValid={isQuantity && sku !== ""}
      onOpen={() => setText("")}
      run={(_, keys) => {
        const body = { sku, quantity };
        const header = { "Idempotency-Key": keys.keyFor(body) };
        return ok(sales.POST("/api/v1/replenishments", { params: { header }, body }));
      }}
      done={t("byHand.done")}
      touches={[KEYS.replenishments, KEYS.requests, KEYS.stock, KEYS.auditLog]}
    >
      {given === undefined && (
        <TextField label={t("field.sku")} isRequired value={typed} onChange={setTyped} />
      )}
      <TextField
        label={t("field.quantity")}
        inputMode="numeric"
        isRequired
        value={text}
        onChange={setText}
        isInvalid={text.trim() !== "" && !isQuantity}
        error={t("policyFault.units")}
      />
    </Action>
  );
}
