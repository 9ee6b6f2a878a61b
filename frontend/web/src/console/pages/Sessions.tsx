import { useTranslation } from "react-i18next";
import { access, ok } from "../../common/api";
import type { Column } from "../../common/ui/Table";
import { Time } from "../../common/ui/Time";
import { type AccessSession, PAGE } from "../api";
import { KEYS } from "../logic/events";
import { useIsOperator } from "../session";
import { useDocumentTitle } from "../title";
import { Action } from "../ui/Action";
import { PagedTable } from "../ui/PagedTable";
import { PageHead } from "../ui/parts";

const TOUCHES = [KEYS.sessions, KEYS.auditLog];

/** Sessions of people who signed in, which an operator can end. */
export function Sessions() {
  const { t } = useTranslation("console");
  const isOperator = useIsOperator();
  useDocumentTitle(t("nav.sessions"));
  const columns: Column<AccessSession>[] = [
    { id: "person", title: t("access.person"), cell: (session) => session.person },
    { id: "source", title: t("sessions.source"), cell: (session) => session.source },
    { id: "begun", title: t("sessions.begun"), cell: (session) => <Time at={session.created_at} /> },
    { id: "seen", title: t("access.lastUsed"), cell: (session) => <Time at={session.last_seen_at} /> },
    { id: "expires", title: t("access.expires"), cell: (session) => <Time at={session.expires_at} /> },
    {
      id: "ended",
      title: t("sessions.endedAt"),
      kind: "wrap",
      cell: (session) =>
        session.ended_at && (
          <>
            <Time at={session.ended_at} />, {session.ended_by}
          </>
        ),
    },
    ...(isOperator
      ? [
          {
            id: "actions",
            title: t("field.actions"),
            cell: (session: AccessSession) => <End session={session} />,
          },
        ]
      : []),
  ];
  return (
    <>
      <PageHead title={t("nav.sessions")} intro={t("sessions.intro")} />
      <PagedTable
        label={t("nav.sessions")}
        queryKey={[...KEYS.sessions, "list"]}
        fetchPage={(cursor, signal) => {
          const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
          return ok(access.GET("/api/v1/sessions", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(session) => session.id}
      />
    </>
  );
}

function End({ session }: { session: AccessSession }) {
  const { t } = useTranslation("console");
  if (session.ended_at || new Date(session.expires_at).getTime() <= Date.now()) return null;
  const { person } = session;
  return (
    <div className="row">
      <Action
        label={t("sessions.end")}
        ariaLabel={t("sessions.endLabel", { person })}
        title={t("sessions.endTitle")}
        what={<p>{t("sessions.endWhat", { person, source: session.source })}</p>}
        danger
        needsReason
        run={(reason) => {
          const params = { path: { id: session.id } };
          return ok(access.POST("/api/v1/sessions/{id}/end", { params, body: { reason } }));
        }}
        done={t("sessions.ended")}
        touches={TOUCHES}
      />
      <Action
        label={t("sessions.endAll")}
        ariaLabel={t("sessions.endAllLabel", { person })}
        title={t("sessions.endAllTitle", { person })}
        what={<p>{t("sessions.endAllWhat", { person })}</p>}
        danger
        needsReason
        run={(reason) => ok(access.POST("/api/v1/sessions/end", { body: { person, reason } }))}
        done={t("sessions.ended")}
        touches={TOUCHES}
      />
    </div>
  );
}
