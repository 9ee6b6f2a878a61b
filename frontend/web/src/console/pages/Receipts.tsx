import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, restock } from "../../common/api";
import { useFormat } from "../../common/format";
import type { Column } from "../../common/ui/Table";
import { TextField } from "../../common/ui/TextField";
import { Time } from "../../common/ui/Time";
import { PAGE, type Receipt } from "../api";
import { KEYS } from "../logic/events";
import { UNITS_MAX, wholeNumber } from "../logic/policy";
import { useIsOperator } from "../session";
import { useDocumentTitle } from "../title";
import { Action } from "../ui/Action";
import { PagedTable } from "../ui/PagedTable";
import { PageHead, ShortId, TimelineLink } from "../ui/parts";
import { To } from "../ui/To";

export function Receipts() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const isOperator = useIsOperator();
  useDocumentTitle(t("nav.receipts"));
  const columns: Column<Receipt>[] = [
    { id: "at", title: t("field.at"), cell: (receipt) => <Time at={receipt.received_at} withSeconds /> },
    { id: "id", title: t("field.receipt"), cell: (receipt) => <ShortId id={receipt.id} /> },
    {
      id: "sku",
      title: t("field.sku"),
      cell: ({ sku }) => (
        <To to="/products/$sku" params={{ sku }}>
          {sku}
        </To>
      ),
    },
    {
      id: "quantity",
      title: t("field.quantity"),
      kind: "number",
      cell: (receipt) => format.number(receipt.quantity),
    },
    {
      id: "request",
      title: t("field.request"),
      cell: (receipt) => (
        <To to="/requests/$id" params={{ id: receipt.request_id }}>
          <ShortId id={receipt.request_id} />
        </To>
      ),
    },
    { id: "factory", title: t("field.factory"), cell: (receipt) => receipt.factory_id },
    {
      id: "by",
      title: t("receipts.bookedBy"),
      cell: (receipt) => receipt.booked_by ?? t("receipts.byCallback"),
    },
    { id: "reason", title: t("field.reason"), kind: "wrap", cell: (receipt) => receipt.reason },
    {
      id: "story",
      title: t("timeline.column"),
      cell: (receipt) => <TimelineLink request={receipt.request_id} />,
    },
  ];
  return (
    <>
      <PageHead title={t("nav.receipts")} intro={t("receipts.intro")}>
        {isOperator && <BookByHand />}
      </PageHead>
      <PagedTable
        label={t("nav.receipts")}
        queryKey={[...KEYS.receipts, "list"]}
        fetchPage={(cursor, signal) => {
          const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
          return ok(restock.GET("/api/v1/receipts", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(receipt) => receipt.id}
      />
    </>
  );
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Books a receipt whose callback was lost. */
function BookByHand() {
  const { t } = useTranslation("console");
  const [request, setRequest] = useState("");
  const [text, setText] = useState("");
  const quantity = wholeNumber(text);
  const isQuantity = quantity >= 1 && quantity <= UNITS_MAX;
  const isId = ID.test(request.trim());
  return (
    <Action
      label={t("receipts.book")}
      title={t("receipts.book")}
      what={<p>{t("receipts.bookWhat")}</p>}
      needsReason
      isValid={isQuantity && isId}
      onOpen={() => {
        setRequest("");
        setText("");
      }}
      run={(reason, keys) => {
        const body = { request_id: request.trim(), quantity, reason };
        const header = { "Idempotency-Key": keys.keyFor(body) };
        return ok(restock.POST("/api/v1/receipts", { params: { header }, body }));
      }}
      done={t("receipts.booked")}
      touches={[KEYS.receipts, KEYS.requests, KEYS.stock, KEYS.auditLog]}
    >
      <TextField
        label={t("receipts.requestId")}
        isRequired
        value={request}
        onChange={setRequest}
        isInvalid={request !== "" && !isId}
        error={t("timeline.idWrong")}
      />
      <TextField
        label={t("field.quantity")}
        inputMode="numeric"
        isRequired
        value={text}
        onChange={setText}
        isInvalid={text !== "" && !isQuantity}
        error={t("policyFault.units")}
      />
    </Action>
  );
}
