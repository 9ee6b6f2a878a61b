import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ok, production } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Badge } from "../../../common/ui/Badge";
import { Button } from "../../../common/ui/Button";
import type { Column } from "../../../common/ui/Table";
import { TextField } from "../../../common/ui/TextField";
import { type Factory, PAGE } from "../../api";
import { KEYS } from "../../logic/events";
import { useIsOperator } from "../../session";
import { useDocumentTitle } from "../../title";
import { PagedTable } from "../../ui/PagedTable";
import { PageHead, Section, Status } from "../../ui/parts";
import { To } from "../../ui/To";

/** Factories with their circuit breakers and lead times. */
export function Factories() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const isOperator = useIsOperator();
  useDocumentTitle(t("nav.factories"));
  const seconds = (value: number | null | undefined) => (value == null ? "–" : format.duration(value * 1000));
  const columns: Column<Factory>[] = [
    {
      id: "id",
      title: t("field.factory"),
      cell: ({ id }) => (
        <To to="/factories/$id" params={{ id }}>
          <code>{id}</code>
        </To>
      ),
    },
    { id: "name", title: t("field.name"), cell: (factory) => factory.name },
    {
      id: "enabled",
      title: t("factory.enabled"),
      cell: ({ enabled }) => <Badge tone={enabled ? "good" : "warn"}>{t(enabled ? "yes" : "no")}</Badge>,
    },
    { id: "breaker", title: t("factory.breaker"), cell: ({ breaker }) => <Breaker state={breaker.state} /> },
    {
      id: "lead",
      title: t("factory.lead_time_s"),
      kind: "number",
      cell: (factory) => seconds(factory.lead_time_s),
    },
    {
      id: "p50",
      title: t("factory.p50"),
      kind: "number",
      cell: (factory) => seconds(factory.lead_time_p50_s),
    },
    {
      id: "p90",
      title: t("factory.p90"),
      kind: "number",
      cell: (factory) => seconds(factory.lead_time_p90_s),
    },
    {
      id: "fallback",
      title: t("factory.fallback_factory_id"),
      cell: (factory) => factory.fallback_factory_id ?? "–",
    },
  ];
  return (
    <>
      <PageHead title={t("nav.factories")} intro={t("factory.intro")} />
      <PagedTable
        label={t("nav.factories")}
        queryKey={[...KEYS.factories, "list"]}
        fetchPage={(cursor, signal) => {
          const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
          return ok(production.GET("/api/v1/factories", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(factory) => factory.id}
      />
      {isOperator && (
        <Section title={t("factory.add")}>
          <Add />
        </Section>
      )}
    </>
  );
}

export function Breaker({ state }: { state: string }) {
  return (
    <Status
      group="breaker"
      value={state}
      tone={state === "closed" ? "good" : state === "open" ? "bad" : "warn"}
    />
  );
}

/** Asks only for the id of a new factory; its settings are filled in on its own page. */
function Add() {
  const { t } = useTranslation("console");
  const [id, setId] = useState("");
  const navigate = useNavigate();
  const isId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/.test(id.trim());
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isId) void navigate({ to: "/factories/$id", params: { id: id.trim() } } as never);
  };
  return (
    <form className="row row-end" onSubmit={submit}>
      <TextField
        label={t("factory.newId")}
        value={id}
        onChange={setId}
        isInvalid={id !== "" && !isId}
        error={t("products.codeWrong")}
      />
      <Button type="submit" isDisabled={!isId}>
        {t("factory.fillIn")}
      </Button>
    </form>
  );
}
