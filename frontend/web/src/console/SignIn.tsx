import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ProblemError } from "../common/api/problem";
import { Button } from "../common/ui/Button";
import { ErrorNotice } from "../common/ui/ErrorNotice";
import { Notice } from "../common/ui/Notice";
import { TextField } from "../common/ui/TextField";
import { useProviderSignIn, useSettings, useSignIn } from "./session";
import { useDocumentTitle } from "./title";

/** Sign-in at the identity provider, if there is one, or with a token. */
export function SignIn() {
  const { t } = useTranslation("console");
  const provider = useSettings().data?.provider;
  useDocumentTitle(t("signIn.title"));
  return (
    <div className="sign-in">
      <h1>{t("signIn.title")}</h1>
      <p className="soft">{t("signIn.intro")}</p>
      {provider && <ProviderSignIn provider={provider} />}
      <TokenSignIn isMain={!provider} />
    </div>
  );
}

/** Reasons for which the server sends the browser back to `/console?sign-in=..` without a session. */
const REFUSALS = [
  "denied",
  "name-taken",
  "no-role",
  "not-accepted",
  "not-begun",
  "provider-error",
  "too-many-attempts",
  "unavailable",
] as const;

function ProviderSignIn({ provider }: { provider: string }) {
  const { t } = useTranslation("console");
  const signIn = useProviderSignIn();
  const given = new URLSearchParams(location.search).get("sign-in");
  const refusal = REFUSALS.find((known) => known === given);
  // The page is left when the sign-in has begun.
  const isBusy = signIn.isPending || signIn.isSuccess;
  return (
    <>
      {refusal && !signIn.error && (
        <Notice tone="bad" role="alert" title={t("signIn.refused")}>
          <p>{t(`signIn.refusal.${refusal}`, { provider })}</p>
        </Notice>
      )}
      {signIn.error && <ErrorNotice error={signIn.error} />}
      <Button
        variant="primary"
        className={isBusy ? "button-busy" : ""}
        onPress={() => {
          if (!isBusy) signIn.mutate();
        }}
      >
        {t("signIn.withProvider", { provider })}
      </Button>
      <p className="soft">{t("signIn.orToken")}</p>
    </>
  );
}

/** Asks for the operator's token. It is sent once; after that the session is a cookie that scripts cannot read. */
function TokenSignIn({ isMain }: { isMain: boolean }) {
  const { t } = useTranslation("console");
  const [token, setToken] = useState("");
  const signIn = useSignIn();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const sent = token.trim();
    setToken("");
    if (sent !== "" && !signIn.isPending) signIn.mutate(sent);
  };
  const isWrong = signIn.error instanceof ProblemError && signIn.error.status === 401;
  return (
    <form className="sign-in-token" onSubmit={submit}>
      <TextField
        label={t("signIn.token")}
        help={t("signIn.tokenHelp")}
        type="password"
        autoComplete="current-password"
        isRequired
        value={token}
        onChange={setToken}
      />
      {isWrong && <Notice tone="bad" role="alert" title={t("signIn.wrong")} />}
      {signIn.error && !isWrong && <ErrorNotice error={signIn.error} />}
      {/* Not `isPending`: it is announced by a reference to the button, which is removed by then. */}
      <Button
        type="submit"
        variant={isMain ? "primary" : "secondary"}
        className={signIn.isPending ? "button-busy" : ""}
      >
        {t("signIn.submit")}
      </Button>
    </form>
  );
}
