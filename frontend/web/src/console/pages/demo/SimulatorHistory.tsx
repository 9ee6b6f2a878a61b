import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { requestJson } from "../../../common/api/http";
import { useFormat } from "../../../common/format";
import { Button } from "../../../common/ui/Button";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { type Column, Table } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { toast } from "../../../common/ui/Toast";
import { Json, Section } from "../../ui/parts";

/** A request that the simulator has received. */
interface Received {
  index: number;
  at: string;
  body: string;
  answer_status: number | null;
  job_id: string | null;
  stage: number;
}

/** A callback that it has sent. */
interface Sent {
  index: number;
  request_index: number;
  at: string;
  body: string;
  status: number | null;
  error: string | null;
  repeats: number | null;
}

const LOOK_AGAIN_MS = 2_000;
/** Number of production stages of the simulated factory. */
const STAGES = 4;
const SHOWN_MAX = 20;

function useHistory<Entry>(path: string) {
  return useQuery({
    queryKey: ["demo", path],
    queryFn: () => requestJson<{ items: Entry[] }>(path),
    refetchInterval: LOOK_AGAIN_MS,
    select: ({ items }) => items.slice(-SHOWN_MAX).reverse(),
  });
}

/** Requests and callbacks as the simulated factory saw them. */
export function SimulatorHistory() {
  const { t } = useTranslation("console");
  return (
    <>
      <Section title={t("demo.requests")}>
        <Requests />
      </Section>
      <Section title={t("demo.callbacks")}>
        <Callbacks />
      </Section>
    </>
  );
}

function Requests() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const requests = useHistory<Received>("/demo/requests");
  const columns: Column<Received>[] = [
    { id: "index", title: t("requests.number"), kind: "number", cell: (each) => format.number(each.index) },
    { id: "at", title: t("field.at"), cell: (each) => <Time at={each.at} withSeconds /> },
    {
      id: "status",
      title: t("requests.answerStatus"),
      kind: "number",
      cell: (each) => each.answer_status ?? "–",
    },
    {
      id: "stage",
      title: t("demo.stage"),
      cell: (each) =>
        each.job_id && <progress max={STAGES} value={each.stage} aria-label={t("demo.stage")} />,
    },
    { id: "body", title: t("demo.body"), kind: "wrap", cell: (each) => <Body text={each.body} /> },
  ];
  if (requests.error) return <ErrorNotice error={requests.error} />;
  return (
    <Table
      label={t("demo.requests")}
      columns={columns}
      rows={requests.data}
      rowKey={(each) => String(each.index)}
    />
  );
}

function Callbacks() {
  const { t } = useTranslation("console");
  const format = useFormat();
  const client = useQueryClient();
  const callbacks = useHistory<Sent>("/demo/callbacks");
  const repeat = useMutation({
    mutationFn: (index: number) => requestJson<unknown>(`/demo/callbacks/${index}/repeat`, "POST"),
    onSuccess: () => {
      toast(t("demo.repeated"));
      return client.invalidateQueries({ queryKey: ["demo"] });
    },
  });
  const columns: Column<Sent>[] = [
    { id: "index", title: t("requests.number"), kind: "number", cell: (each) => format.number(each.index) },
    { id: "at", title: t("field.at"), cell: (each) => <Time at={each.at} withSeconds /> },
    {
      id: "request",
      title: t("demo.forRequest"),
      kind: "number",
      cell: (each) => format.number(each.request_index),
    },
    {
      id: "status",
      title: t("requests.answerStatus"),
      kind: "number",
      cell: (each) => each.status ?? each.error ?? "–",
    },
    { id: "body", title: t("demo.body"), kind: "wrap", cell: (each) => <Body text={each.body} /> },
    {
      id: "repeat",
      title: t("field.actions"),
      cell: (each) => (
        <Button
          size="small"
          isDisabled={repeat.isPending}
          onPress={() => repeat.mutate(each.index)}
          aria-label={t("demo.repeatLabel", { index: each.index })}
        >
          {t("demo.repeat")}
        </Button>
      ),
    },
  ];
  if (callbacks.error) return <ErrorNotice error={callbacks.error} />;
  return (
    <>
      {repeat.error && <ErrorNotice error={repeat.error} />}
      <Table
        label={t("demo.callbacks")}
        columns={columns}
        rows={callbacks.data}
        rowKey={(each) => String(each.index)}
      />
    </>
  );
}

function Body({ text }: { text: string }) {
  const { t } = useTranslation("console");
  return (
    <details>
      <summary>{t("quarantine.showBody")}</summary>
      <Json value={text} label={t("demo.body")} />
    </details>
  );
}
