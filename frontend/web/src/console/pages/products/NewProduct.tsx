import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, sales } from "../../../common/api";
import { TextField } from "../../../common/ui/TextField";
import { KEYS } from "../../logic/events";
import { formFaults, type PolicyForm, perOrderOfForm, policyOfForm, wholeNumber } from "../../logic/policy";
import { Action } from "../../ui/Action";
import { PolicyFields } from "./PolicyEditor";

const CODE = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const PRICE_MAX = 1_000_000_000;
const FIRST_POLICY: PolicyForm = {
  reorder_point: "0",
  order_up_to: "10",
  lot_size: "10",
  max_backordered: "",
  max_per_order: "",
  mode: "manual",
  shortage: "reject",
};
const EMPTY = { sku: "", name: "", price: "", factory_id: "" };

/** An installation has one currency: that of the existing products. */
function useCurrency(): string {
  const products = useQuery({
    queryKey: [...KEYS.stock, "currency"],
    queryFn: ({ signal }) => ok(sales.GET("/api/v1/stock", { params: { query: { limit: 1 } }, signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return products.data?.items[0]?.price.currency ?? "KRW";
}

export function NewProduct() {
  const { t } = useTranslation("console");
  const [fields, setFields] = useState(EMPTY);
  const [policy, setPolicy] = useState(FIRST_POLICY);
  const currency = useCurrency();
  const price = wholeNumber(fields.price);
  const isPrice = price >= 0 && price <= PRICE_MAX;
  const faults = formFaults(policy);
  const isValid =
    CODE.test(fields.sku) &&
    fields.name.trim() !== "" &&
    CODE.test(fields.factory_id) &&
    isPrice &&
    Object.keys(faults).length === 0;
  const field = (name: keyof typeof EMPTY, isInvalid: boolean, error: string) => ({
    isRequired: true,
    value: fields[name],
    onChange: (text: string) => setFields({ ...fields, [name]: text }),
    isInvalid: fields[name] !== "" && isInvalid,
    error,
  });
  return (
    <Action
      label={t("products.add")}
      title={t("products.add")}
      what={<p>{t("products.addWhat")}</p>}
      isValid={isValid}
      onOpen={() => {
        setFields(EMPTY);
        setPolicy(FIRST_POLICY);
      }}
      run={() => {
        const { sku, name, factory_id } = fields;
        const body = {
          name,
          factory_id,
          price: { amount: price, currency },
          max_per_order: perOrderOfForm(policy),
          policy: policyOfForm(policy),
        };
        return ok(sales.PUT("/api/v1/products/{sku}", { params: { path: { sku } }, body }));
      }}
      done={t("products.added")}
      touches={[KEYS.stock, KEYS.auditLog]}
    >
      <TextField label={t("field.sku")} {...field("sku", !CODE.test(fields.sku), t("products.codeWrong"))} />
      <TextField label={t("field.name")} {...field("name", false, "")} maxLength={200} />
      <TextField
        label={t("products.priceIn", { currency })}
        inputMode="numeric"
        {...field("price", !isPrice, t("products.priceWrong"))}
      />
      <TextField
        label={t("field.factory")}
        {...field("factory_id", !CODE.test(fields.factory_id), t("products.codeWrong"))}
      />
      <PolicyFields form={policy} onChange={setPolicy} isDisabled={false} />
    </Action>
  );
}
