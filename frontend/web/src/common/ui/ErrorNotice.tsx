import { useTranslation } from "react-i18next";
import { ProblemError } from "../api/problem";
import { Button } from "./Button";
import "./parts.css";

interface ErrorNoticeProps {
  error: unknown;
  /** Shows the service's message, which is English: for operators, not for shoppers. */
  showsDetail?: boolean;
  onRetry?: () => void;
}

/** Shows what went wrong, what can be done, and the trace id for finding it in the logs. */
export function ErrorNotice({ error, showsDetail = true, onRetry }: ErrorNoticeProps) {
  const { t, i18n } = useTranslation();
  const problem = error instanceof ProblemError ? error.problem : undefined;
  const key = error instanceof ProblemError ? `problem.${error.slug}` : "";
  const known = key !== "" && i18n.exists(key);
  const translated = known ? i18n.t(key as "problem.internal") : t("error.title");
  const isServices = showsDetail && !known && problem !== undefined;
  return (
    <div className="notice" role="alert">
      <p className="notice-title" lang={isServices ? "en" : undefined}>
        {isServices ? problem.title : translated}
      </p>
      {!problem && <p>{t("error.noAnswer")}</p>}
      {showsDetail && problem?.detail && <p lang="en">{problem.detail}</p>}
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
