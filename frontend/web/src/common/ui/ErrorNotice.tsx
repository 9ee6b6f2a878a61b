import { useTranslation } from "react-i18next";
import { ProblemError } from "../api/problem";
import { Button } from "./Button";
import "./parts.css";

/** Says what went wrong, what can be done, and the trace id by which operators find it. */
export function ErrorNotice({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { t, i18n } = useTranslation();
  const problem = error instanceof ProblemError ? error.problem : undefined;
  const key = error instanceof ProblemError ? `problem.${error.slug}` : "";
  const known = key !== "" && i18n.exists(key);
  const title = known ? i18n.t(key as "problem.internal") : (problem?.title ?? t("error.title"));
  return (
    <div className="notice" role="alert">
      <p className="notice-title">{title}</p>
      <p>{problem ? problem.detail : t("error.noAnswer")}</p>
      {problem?.trace_id && (
        <p className="notice-small">
          {t("error.traceId")}: <code>{problem.trace_id}</code>
        </p>
      )}
      {onRetry && (
        <Button size="small" onPress={onRetry}>
          {t("action.retry")}
        </Button>
      )}
    </div>
  );
}
