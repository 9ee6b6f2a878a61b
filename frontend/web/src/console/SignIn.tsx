import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ProblemError } from "../common/api/problem";
import { Button } from "../common/ui/Button";
import { ErrorNotice } from "../common/ui/ErrorNotice";
import { Notice } from "../common/ui/Notice";
import { TextField } from "../common/ui/TextField";
import { useSignIn } from "./session";
import { useDocumentTitle } from "./title";

/** Asks for the operator's token. It is sent once; after that the session is a cookie that scripts cannot read. */
export function SignIn() {
  const { t } = useTranslation("console");
  const [token, setToken] = useState("");
  const signIn = useSignIn();
  useDocumentTitle(t("signIn.title"));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const sent = token.trim();
    setToken("");
    if (sent !== "" && !signIn.isPending) signIn.mutate(sent);
  };
  const isWrong = signIn.error instanceof ProblemError && signIn.error.status === 401;
  return (
    <form className="sign-in" onSubmit={submit}>
      <h1>{t("signIn.title")}</h1>
      <p className="soft">{t("signIn.intro")}</p>
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
      <Button type="submit" variant="primary" className={signIn.isPending ? "button-busy" : ""}>
        {t("signIn.submit")}
      </Button>
    </form>
  );
}
