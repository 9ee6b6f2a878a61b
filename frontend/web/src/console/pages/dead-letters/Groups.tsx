import { useTranslation } from "react-i18next";
import { useFormat } from "../../../common/format";
import { ErrorNotice } from "../../../common/ui/ErrorNotice";
import { type Column, Table } from "../../../common/ui/Table";
import { Time } from "../../../common/ui/Time";
import { type DeadLetterGroup, type Service, useDeadLetterGroups } from "../../api";
import { useIsOperator } from "../../session";
import { Held } from "../../ui/Held";
import { To } from "../../ui/To";
import { useWords } from "../../words";
import { DiscardGroup, Redrive } from "./LetterActions";

/** Dead letters grouped by cause. */
export function Groups({ service }: { service: Service }) {
  const { t } = useTranslation("console");
  const format = useFormat();
  const words = useWords();
  const isOperator = useIsOperator();
  const groups = useDeadLetterGroups(service);
  const columns: Column<DeadLetterGroup>[] = [
    {
      id: "count",
      title: t("deadLetters.waiting"),
      kind: "number",
      cell: (group) => (
        <To
          to="/dead-letters"
          search={{ service, group: group.group }}
          aria-label={t("deadLetters.show", {
            count: group.count,
            shown: format.number(group.count),
            queue: group.queue,
          })}
        >
          {format.number(group.count)}
        </To>
      ),
    },
    { id: "queue", title: t("field.queue"), cell: (group) => <code>{group.queue}</code> },
    { id: "reason", title: t("field.reason"), cell: (group) => words("deathReason", group.reason) },
    {
      id: "cause",
      title: t("field.cause"),
      kind: "wrap",
      // The error is that of the newest message; the status and the factory apply to the whole group.
      cell: (group) => (
        <>
          <span lang="en">{group.newest.error}</span>
          {group.factory_id && <> ({group.factory_id})</>}
        </>
      ),
    },
    {
      id: "redriving",
      title: t("deadLetters.redriving"),
      kind: "number",
      cell: (group) => format.number(group.redriving),
    },
    {
      id: "first",
      title: t("deadLetters.firstFailed"),
      cell: (group) => <Time at={group.first_failed_at} withSeconds />,
    },
    {
      id: "last",
      title: t("deadLetters.lastFailed"),
      cell: (group) => <Time at={group.last_failed_at} withSeconds />,
    },
    ...(isOperator
      ? [
          {
            id: "actions",
            title: t("field.actions"),
            cell: (group: DeadLetterGroup) =>
              group.count > 0 && (
                <div className="row">
                  <Redrive
                    service={service}
                    wanted={{ group: group.group }}
                    count={group.count}
                    queue={group.queue}
                  />
                  <DiscardGroup service={service} group={group} />
                </div>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      {groups.error && <ErrorNotice error={groups.error} onRetry={() => void groups.refetch()} />}
      {(groups.data || !groups.error) && (
        <Held name={service} value={groups.data?.items}>
          {(rows) => (
            <Table
              label={t("deadLetters.groupsOf", { service: t(`service.${service}`) })}
              columns={columns}
              rows={rows}
              rowKey={(group) => group.group}
              empty={t("deadLetters.none")}
              skeletonRows={1}
            />
          )}
        </Held>
      )}
    </>
  );
}
