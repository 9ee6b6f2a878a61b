import { Component, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./Button";
import "./parts.css";

function Apology() {
  const { t } = useTranslation();
  return (
    <main className="page">
      <div className="notice" role="alert">
        <p className="notice-title">{t("error.title")}</p>
        <p>{t("error.crash")}</p>
        <Button onPress={() => location.reload()}>{t("error.reload")}</Button>
      </div>
    </main>
  );
}

/** Shows a message instead of an empty page when rendering fails. */
export class CrashBoundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    return this.state.failed ? <Apology /> : this.props.children;
  }
}
