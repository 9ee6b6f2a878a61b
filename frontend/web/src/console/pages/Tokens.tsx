import { useState } from "react";
import { useTranslation } from "react-i18next";
import { access, ok } from "../../common/api";
import { Notice } from "../../common/ui/Notice";
import { Select } from "../../common/ui/Select";
import type { Column } from "../../common/ui/Table";
import { TextField } from "../../common/ui/TextField";
import { Time } from "../../common/ui/Time";
import { type AccessToken, PAGE } from "../api";
import { KEYS } from "../logic/events";
import { wholeNumber } from "../logic/policy";
import { useIsOperator } from "../session";
import { useDocumentTitle } from "../title";
import { Action } from "../ui/Action";
import { PagedTable } from "../ui/PagedTable";
import { PageHead } from "../ui/parts";

const TOUCHES = [KEYS.tokens, KEYS.auditLog];
const NAME_LENGTH_MAX = 64;
/** The default of the setting tokens.lifetime_days_max; the service says so if another one holds. */
const DAYS_DEFAULT = "90";

/** Personal access tokens. A new one is shown once, on this page only. */
export function Tokens() {
  const { t } = useTranslation("console");
  const isOperator = useIsOperator();
  const [made, setMade] = useState<string>();
  useDocumentTitle(t("nav.tokens"));
  const columns: Column<AccessToken>[] = [
    { id: "name", title: t("field.name"), kind: "wrap", cell: (token) => token.name },
    { id: "person", title: t("access.person"), cell: (token) => token.person },
    { id: "role", title: t("access.role"), cell: (token) => t(`role.${token.role}`) },
    { id: "created", title: t("field.createdAt"), cell: (token) => <Time at={token.created_at} /> },
    {
      id: "used",
      title: t("access.lastUsed"),
      cell: (token) => (token.last_used_at ? <Time at={token.last_used_at} /> : t("access.never")),
    },
    { id: "expires", title: t("access.expires"), cell: (token) => <Time at={token.expires_at} /> },
    {
      id: "revoked",
      title: t("tokens.revokedAt"),
      kind: "wrap",
      cell: (token) =>
        token.revoked_at && (
          <>
            <Time at={token.revoked_at} />, {token.revoked_by}
          </>
        ),
    },
    ...(isOperator
      ? [{ id: "actions", title: t("field.actions"), cell: (token: AccessToken) => <Revoke token={token} /> }]
      : []),
  ];
  return (
    <>
      <PageHead title={t("nav.tokens")} intro={t("tokens.intro")} />
      {isOperator && <Make onMade={setMade} />}
      {made && (
        <Notice tone="good" role="status" title={t("tokens.made")}>
          <code className="token">{made}</code>
        </Notice>
      )}
      <PagedTable
        label={t("nav.tokens")}
        queryKey={[...KEYS.tokens, "list"]}
        fetchPage={(cursor, signal) => {
          const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
          return ok(access.GET("/api/v1/tokens", { params: { query }, signal }));
        }}
        columns={columns}
        rowKey={(token) => token.id}
        empty={t("tokens.empty")}
      />
    </>
  );
}

function Make({ onMade }: { onMade(token: string | undefined): void }) {
  const { t } = useTranslation("console");
  const [name, setName] = useState("");
  const [role, setRole] = useState<AccessToken["role"]>("viewer");
  const [days, setDays] = useState(DAYS_DEFAULT);
  const lifetime = wholeNumber(days);
  const isValid = name.trim() !== "" && lifetime >= 1;
  return (
    <Action
      label={t("tokens.make")}
      variant="primary"
      title={t("tokens.makeTitle")}
      what={<p>{t("tokens.makeWhat")}</p>}
      isValid={isValid}
      onOpen={() => {
        setName("");
        setRole("viewer");
        setDays(DAYS_DEFAULT);
        onMade(undefined);
      }}
      run={async () => {
        const body = { name: name.trim(), role, expires_in_days: lifetime };
        const { token } = await ok(access.POST("/api/v1/tokens", { body }));
        onMade(token);
      }}
      done={t("tokens.made")}
      touches={TOUCHES}
    >
      <TextField
        label={t("field.name")}
        help={t("tokens.nameHelp")}
        isRequired
        maxLength={NAME_LENGTH_MAX}
        value={name}
        onChange={setName}
      />
      <Select<AccessToken["role"]>
        label={t("access.role")}
        value={role}
        onChange={setRole}
        options={(["viewer", "operator"] as const).map((value) => ({ value, label: t(`role.${value}`) }))}
      />
      <TextField
        label={t("tokens.days")}
        inputMode="numeric"
        isRequired
        value={days}
        onChange={setDays}
        isInvalid={days !== "" && !(lifetime >= 1)}
        error={t("tokens.daysWrong")}
      />
    </Action>
  );
}

function Revoke({ token }: { token: AccessToken }) {
  const { t } = useTranslation("console");
  if (token.revoked_at || new Date(token.expires_at).getTime() <= Date.now()) return null;
  return (
    <Action
      label={t("tokens.revoke")}
      ariaLabel={t("tokens.revokeLabel", { name: token.name })}
      title={t("tokens.revokeTitle")}
      what={<p>{t("tokens.revokeWhat", { name: token.name, person: token.person })}</p>}
      danger
      needsReason
      run={(reason) => {
        const params = { path: { id: token.id } };
        return ok(access.POST("/api/v1/tokens/{id}/revoke", { params, body: { reason } }));
      }}
      done={t("tokens.revoked")}
      touches={TOUCHES}
    />
  );
}
