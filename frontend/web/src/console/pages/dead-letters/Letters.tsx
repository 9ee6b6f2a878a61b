import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok } from "../../../common/api";
import { useFormat } from "../../../common/format";
import { Button } from "../../../common/ui/Button";
import { Dialog, DialogActions } from "../../../common/ui/Dialog";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { Skeleton } from "../../../common/ui/Skeleton";
import type { Column } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { type DeadLetter, PAGE, type Service, sharedClient } from "../../api";
import { KEYS } from "../../logic/events";
import { useIsOperator } from "../../session";
import { useHold } from "../../ui/Held";
import { PagedTable } from "../../ui/PagedTable";
import { Facts, FilterSelect, Filters, Json, Status } from "../../ui/parts";
import { useFilters } from "../../ui/To";
import { useWords } from "../../words";
import { DiscardLetter, Redrive } from "./LetterActions";

const STATUSES = ["waiting", "redriving", "processed", "discarded"] as const;

interface LettersProps {
  service: Service;
  group: string | undefined;
  status: string | undefined;
}

/** Dead letters of one service, newest first. */
export function Letters({ service, group, status: given }: LettersProps) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  const isOperator = useIsOperator();
  const { set } = useFilters();
  const status = STATUSES.find((each) => each === given) ?? "waiting";
  const columns: Column<DeadLetter>[] = [
    {
      id: "last",
      title: t("deadLetters.lastFailed"),
      cell: (letter) => <Time at={letter.last_failed_at} withSeconds />,
    },
    {
      id: "status",
      title: t("field.status"),
      cell: (letter) => <Status group="letter" value={letter.status} />,
    },
    { id: "queue", title: t("field.queue"), cell: (letter) => <code>{letter.queue}</code> },
    { id: "reason", title: t("field.reason"), cell: (letter) => words("deathReason", letter.reason) },
    {
      id: "error",
      title: t("field.error"),
      kind: "wrap",
      cell: (letter) => <span lang="en">{letter.error}</span>,
    },
    {
      id: "attempts",
      title: t("field.attempts"),
      kind: "number",
      cell: (letter) => format.number(letter.attempts),
    },
    {
      id: "content",
      title: t("deadLetters.content"),
      cell: (letter) => <Content service={service} letter={letter} />,
    },
    ...(isOperator
      ? [
          {
            id: "actions",
            title: t("field.actions"),
            cell: (letter: DeadLetter) =>
              letter.status === "waiting" && (
                <div className="row">
                  <Redrive service={service} wanted={{ ids: [letter.id] }} count={1} queue={letter.queue} />
                  <DiscardLetter service={service} letter={letter} />
                </div>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      <Filters label={t("deadLetters.filterLetters")}>
        <FilterSelect
          label={t("field.status")}
          group="letter"
          value={status}
          options={STATUSES}
          all={t("deadLetters.waitingOnly")}
          onChange={(value) => set({ status: value })}
        />
        {group && (
          <Button size="small" onPress={() => set({ group: undefined })}>
            {t("deadLetters.allGroups")}
          </Button>
        )}
      </Filters>
      <PagedTable
        label={t("deadLetters.letters")}
        queryKey={[...KEYS.deadLetters, service, "list", group ?? "", status]}
        fetchPage={(cursor, signal) => {
          const query = { limit: PAGE, status, ...(group ? { group } : {}), ...(cursor ? { cursor } : {}) };
          return ok(sharedClient(service).GET("/api/v1/dead-letters", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(letter) => letter.id}
        empty={t("deadLetters.none")}
      />
    </>
  );
}

/** Headers and the whole body, loaded on demand. */
function Content({ service, letter }: { service: Service; letter: DeadLetter }) {
  const { t } = useTranslation("console");
  const { t: common } = useTranslation();
  const format = useFormat();
  const [isOpen, setIsOpen] = useState(false);
  useHold(isOpen);
  const query = useQuery({
    queryKey: [...KEYS.deadLetters, service, "one", letter.id],
    queryFn: ({ signal }) =>
      ok(
        sharedClient(service).GET("/api/v1/dead-letters/{id}", {
          params: { path: { id: letter.id } },
          signal,
        }),
      ),
    enabled: isOpen,
  });
  return (
    <>
      <Button
        size="small"
        variant="quiet"
        onPress={() => setIsOpen(true)}
        aria-label={t("deadLetters.openLabel", { id: letter.message_id })}
      >
        {t("deadLetters.open")}
      </Button>
      <Dialog title={t("deadLetters.one")} isOpen={isOpen} onClose={() => setIsOpen(false)}>
        {query.error && <ErrorNotice error={query.error} />}
        {query.isPending && <Skeleton size="block" />}
        {query.data && (
          <>
            <Facts
              facts={[
                [t("deadLetters.messageId"), <code key="id">{query.data.message_id}</code>],
                [t("field.queue"), <code key="queue">{query.data.queue}</code>],
                [t("field.traceId"), <code key="trace">{query.data.trace_id ?? "–"}</code>],
                [
                  t("deadLetters.size"),
                  t("deadLetters.bytes", { bytes: format.number(query.data.body_bytes) }),
                ],
                [t("deadLetters.contentType"), <code key="type">{query.data.content_type}</code>],
              ]}
            />
            <p lang="en">{query.data.error}</p>
            <h3>{t("deadLetters.headers")}</h3>
            <Json value={query.data.headers} label={t("deadLetters.headers")} />
            <h3>
              {t(query.data.body_encoding === "base64" ? "deadLetters.bodyBase64" : "deadLetters.body")}
            </h3>
            <Json value={query.data.body} label={t("deadLetters.body")} />
          </>
        )}
        <DialogActions>
          <Button onPress={() => setIsOpen(false)}>{common("action.close")}</Button>
        </DialogActions>
      </Dialog>
    </>
  );
}
