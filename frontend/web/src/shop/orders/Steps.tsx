import { useTranslation } from "react-i18next";
import type { Progress } from "./progress";

/** Progress of the order: ordered, units reserved, complete. */
export function Steps({ progress }: { progress: Progress }) {
  const { t } = useTranslation("shop");
  if (progress.stage === "cancelled" || progress.stage === "rejected") return null;
  const isDone = progress.stage === "fulfilled";
  const steps = [
    { id: "ordered", text: t("order.step.ordered"), state: "done" },
    {
      id: "filled",
      text: t("order.step.filled", { filled: progress.filled, ordered: progress.ordered }),
      state: isDone ? "done" : "current",
    },
    { id: "complete", text: t("order.step.complete"), state: isDone ? "done" : "ahead" },
  ] as const;
  return (
    <ol className="steps">
      {steps.map((step) => (
        <li
          key={step.id}
          data-state={step.state}
          aria-current={step.state === "current" ? "step" : undefined}
        >
          {step.text}
          <span className="visually-hidden"> ({t(`order.stepState.${step.state}`)})</span>
        </li>
      ))}
    </ol>
  );
}
