import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ok } from "../../../common/api";
import { TextField } from "../../../common/ui/TextField";
import { type DeadLetter, type DeadLetterGroup, PAGE_MAX, type Service, sharedClient } from "../../api";
import { KEYS } from "../../logic/events";
import { Action } from "../../ui/Action";
import { useFilters } from "../../ui/To";

const RATE_DEFAULT = "50";
/** Maximum number of messages discarded in one action. */
const DISCARDED_MAX = 1_000;
const TOUCHES = [
  KEYS.deadLetters,
  KEYS.requests,
  KEYS.replenishments,
  KEYS.stock,
  KEYS.timeline,
  KEYS.auditLog,
];

interface RedriveProps {
  service: Service;
  wanted: { ids: string[] } | { group: string };
  count: number;
  queue: string;
}

/** Returns messages to their queue. The redrive job reports their results. */
export function Redrive({ service, wanted, count, queue }: RedriveProps) {
  const { t } = useTranslation("console");
  const { search, set } = useFilters();
  const [text, setText] = useState(RATE_DEFAULT);
  const rate = Number(text.replaceAll(",", ""));
  const isRate = text.trim() !== "" && rate >= 0.01 && rate <= 10_000;
  return (
    <Action
      label={t("deadLetters.redrive")}
      ariaLabel={t("deadLetters.redriveLabel", { count, queue })}
      variant="primary"
      title={t("deadLetters.redriveTitle", { count })}
      what={
        <>
          <p>{t("deadLetters.redriveWhat", { count, queue })}</p>
          <p>{t("deadLetters.redriveAgain")}</p>
        </>
      }
      isValid={isRate}
      onOpen={() => setText(RATE_DEFAULT)}
      run={async (_, keys) => {
        const body = { ...wanted, rate_per_s: rate };
        const header = { "Idempotency-Key": keys.keyFor(body) };
        const job = await ok(
          sharedClient(service).POST("/api/v1/dead-letters/redrive", { params: { header }, body }),
        );
        set({ ...search, service, job: job.id });
      }}
      done={t("deadLetters.redriveStarted")}
      touches={TOUCHES}
    >
      <TextField
        label={t("deadLetters.rate")}
        help={t("deadLetters.rateHelp")}
        inputMode="decimal"
        isRequired
        value={text}
        onChange={setText}
        isInvalid={!isRate}
        error={t("deadLetters.rateWrong")}
      />
    </Action>
  );
}

export function DiscardLetter({ service, letter }: { service: Service; letter: DeadLetter }) {
  const { t } = useTranslation("console");
  return (
    <Action
      label={t("deadLetters.discard")}
      ariaLabel={t("deadLetters.discardLabel", { count: 1, queue: letter.queue })}
      title={t("deadLetters.discardTitle", { count: 1 })}
      what={<Consequence queue={letter.queue} />}
      danger
      needsReason
      run={(reason) => discard(service, [letter.id], reason)}
      done={t("deadLetters.discarded")}
      touches={TOUCHES}
    />
  );
}

/** Discards the waiting messages of a group, at most a thousand at a time. */
export function DiscardGroup({ service, group }: { service: Service; group: DeadLetterGroup }) {
  const { t } = useTranslation("console");
  const count = Math.min(group.count, DISCARDED_MAX);
  return (
    <Action
      label={t("deadLetters.discard")}
      ariaLabel={t("deadLetters.discardLabel", { count, queue: group.queue })}
      title={t("deadLetters.discardTitle", { count })}
      what={<Consequence queue={group.queue} />}
      danger
      needsReason
      run={async (reason) => {
        const ids = await waitingIds(service, group.group);
        // Empty when someone else has already dealt with all of them.
        if (ids.length > 0) await discard(service, ids, reason);
      }}
      done={t("deadLetters.discarded")}
      touches={TOUCHES}
    />
  );
}

function Consequence({ queue }: { queue: string }) {
  const { t } = useTranslation("console");
  return (
    <>
      <p>{t("deadLetters.discardWhat")}</p>
      {queue === "production.requests" && <p>{t("deadLetters.discardCancels")}</p>}
    </>
  );
}

function discard(service: Service, ids: string[], reason: string) {
  return ok(sharedClient(service).POST("/api/v1/dead-letters/discard", { body: { ids, reason } }));
}

async function waitingIds(service: Service, group: string): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null | undefined;
  while (ids.length < DISCARDED_MAX && cursor !== null) {
    const query = { group, limit: PAGE_MAX, ...(cursor ? { cursor } : {}) };
    const page = await ok(sharedClient(service).GET("/api/v1/dead-letters", { params: { query } }));
    ids.push(...page.items.map((letter) => letter.id));
    cursor = page.next_cursor;
  }
  return ids.slice(0, DISCARDED_MAX);
}
