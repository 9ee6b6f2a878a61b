import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, restock } from "../../common/api";
import { useFormat } from "../../common/format";
import { Select } from "../../common/ui/Select";
import type { Column } from "../../common/ui/Table";
import { TextField } from "../../common/ui/TextField";
import { Time } from "../../common/ui/Time";
import { PAGE, PAGE_MAX, type QuarantineEntry } from "../api";
import { KEYS } from "../logic/events";
import { filteredPage } from "../logic/paging";
import { UNITS_MAX, wholeNumber } from "../logic/policy";
import { useIsOperator } from "../session";
import { useDocumentTitle } from "../title";
import { Action } from "../ui/Action";
import { PagedTable } from "../ui/PagedTable";
import { FilterSelect, Filters, Json, PageHead, Status, TimelineLink } from "../ui/parts";
import { To, useFilters } from "../ui/To";
import { useWords } from "../words";

const STATUSES = ["waiting", "accepted", "discarded"] as const;
const REASONS = [
  "callback-mismatch",
  "invalid-count",
  "ambiguous-delivery",
  "nothing-open",
  "expired",
  "cancelled",
  "over-delivery",
  "unreadable-body",
  "lost",
] as const;

/** Deliveries that need an operator's decision. Undecided ones are shown by default, the others on demand. */
export function Quarantine() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  const isOperator = useIsOperator();
  const { search, set } = useFilters();
  useDocumentTitle(t("nav.quarantine"));
  const status = search.status === "all" ? undefined : (search.status ?? "waiting");
  const { reason } = search;
  const columns: Column<QuarantineEntry>[] = [
    {
      id: "at",
      title: t("field.at"),
      kind: "wrap",
      cell: (entry) => (
        <>
          <Time at={entry.created_at} withSeconds />
          {entry.times_received > 1 && (
            <>
              {", "}
              {t("quarantine.again", { times: format.number(entry.times_received) })}{" "}
              <Time at={entry.last_received_at} withSeconds />
            </>
          )}
        </>
      ),
    },
    {
      id: "status",
      title: t("field.status"),
      cell: (entry) => <Status group="quarantine" value={entry.status} />,
    },
    {
      id: "reason",
      title: t("field.reason"),
      kind: "wrap",
      cell: (entry) => words("quarantineReason", entry.reason),
    },
    {
      id: "sku",
      title: t("field.sku"),
      cell: (entry) => (
        <>
          <To to="/products/$sku" params={{ sku: entry.sku }}>
            {entry.sku}
          </To>
          {entry.claimed_sku && entry.claimed_sku !== entry.sku && ` ≠ ${entry.claimed_sku}`}
        </>
      ),
    },
    {
      id: "quantity",
      title: t("field.quantity"),
      kind: "number",
      cell: (entry) => (entry.quantity === null ? "?" : format.number(entry.quantity)),
    },
    { id: "factory", title: t("field.factory"), cell: (entry) => entry.factory_id },
    {
      id: "body",
      title: t("quarantine.body"),
      kind: "wrap",
      cell: (entry) => (
        <details>
          <summary>{t("quarantine.showBody")}</summary>
          <Json value={entry.body_base64 ?? entry.body} label={t("quarantine.body")} />
        </details>
      ),
    },
    {
      id: "decided",
      title: t("quarantine.decision"),
      kind: "wrap",
      cell: (entry) =>
        entry.decided_at && (
          <>
            {entry.decided_by}, <Time at={entry.decided_at} withSeconds />: {entry.decision_reason}
          </>
        ),
    },
    {
      id: "story",
      title: t("timeline.column"),
      cell: (entry) => <TimelineLink request={entry.request_id} />,
    },
    ...(isOperator
      ? [
          {
            id: "actions",
            title: t("field.actions"),
            cell: (entry: QuarantineEntry) => <Judge entry={entry} />,
          },
        ]
      : []),
  ];
  const passes = (entry: QuarantineEntry) =>
    (status === undefined || entry.status === status) && (reason === undefined || entry.reason === reason);
  return (
    <>
      <PageHead title={t("nav.quarantine")} intro={t("quarantine.intro")} />
      <Filters>
        <FilterSelect
          label={t("field.status")}
          group="quarantine"
          value={status}
          options={STATUSES}
          onChange={(value) => set({ status: value ?? "all" })}
        />
        <FilterSelect
          label={t("field.reason")}
          group="quarantineReason"
          value={reason}
          options={REASONS}
          onChange={(value) => set({ reason: value })}
        />
      </Filters>
      <PagedTable
        label={t("nav.quarantine")}
        queryKey={[...KEYS.quarantine, "list", status ?? "", reason ?? ""]}
        fetchPage={(cursor, signal) =>
          filteredPage(
            (from) => {
              const query = { limit: PAGE_MAX, ...(from ? { cursor: from } : {}) };
              return ok(restock.GET("/api/v1/quarantine", { params: { query }, signal }));
            },
            passes,
            cursor,
            PAGE,
          )
        }
        columns={columns}
        rowKey={(entry) => entry.id}
        empty={t("quarantine.empty")}
      />
    </>
  );
}

const TOUCHES = [KEYS.quarantine, KEYS.receipts, KEYS.requests, KEYS.stock, KEYS.timeline, KEYS.auditLog];

function Judge({ entry }: { entry: QuarantineEntry }) {
  const { t } = useTranslation("console");
  if (entry.status !== "waiting") return null;
  return (
    <div className="row">
      <Accept entry={entry} />
      <Action
        label={t("quarantine.discard")}
        ariaLabel={t("quarantine.discardLabel", { sku: entry.sku })}
        title={t("quarantine.discardTitle")}
        what={<p>{t("quarantine.discardWhat")}</p>}
        danger
        needsReason
        run={(reason) => {
          const params = { path: { id: entry.id } };
          return ok(restock.POST("/api/v1/quarantine/{id}/discard", { params, body: { reason } }));
        }}
        done={t("quarantine.discarded")}
        touches={TOUCHES}
      />
    </div>
  );
}

function Accept({ entry }: { entry: QuarantineEntry }) {
  const { t } = useTranslation("console");
  const differs = entry.claimed_sku !== null && entry.claimed_sku !== entry.sku;
  const [sku, setSku] = useState(entry.sku);
  const [text, setText] = useState("");
  const quantity = wholeNumber(text);
  const isValid = quantity >= 1 && quantity <= UNITS_MAX;
  return (
    <Action
      label={t("quarantine.accept")}
      ariaLabel={t("quarantine.acceptLabel", { sku: entry.sku })}
      variant="primary"
      title={t("quarantine.acceptTitle")}
      what={<p>{t("quarantine.acceptWhat")}</p>}
      needsReason
      isValid={isValid}
      onOpen={() => {
        setSku(entry.sku);
        setText(entry.quantity === null ? "" : String(entry.quantity));
      }}
      run={(reason) => {
        // The service requires the product only when the delivery names a different one than its token.
        const body = { reason, quantity, ...(differs ? { sku } : {}) };
        return ok(
          restock.POST("/api/v1/quarantine/{id}/accept", { params: { path: { id: entry.id } }, body }),
        );
      }}
      done={t("quarantine.accepted")}
      touches={TOUCHES}
    >
      {differs && entry.claimed_sku !== null && (
        <Select
          label={t("quarantine.whichProduct")}
          value={sku}
          onChange={setSku}
          options={[
            { value: entry.sku, label: t("quarantine.asked", { sku: entry.sku }) },
            { value: entry.claimed_sku, label: t("quarantine.claimed", { sku: entry.claimed_sku }) },
          ]}
        />
      )}
      <TextField
        label={t("field.quantity")}
        inputMode="numeric"
        isRequired
        value={text}
        onChange={setText}
        isInvalid={text !== "" && !isValid}
        error={t("policyFault.units")}
      />
    </Action>
  );
}
