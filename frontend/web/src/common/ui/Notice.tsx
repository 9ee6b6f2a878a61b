import type { ReactNode } from "react";
import "./parts.css";

/** A box that says something about the page. Use `role="alert"` only for what cannot wait. */
export function Notice(props: {
  tone: "info" | "good" | "warn" | "bad";
  title: string;
  role?: "alert" | "status";
  children?: ReactNode;
}) {
  return (
    <div className={`notice notice-${props.tone}`} role={props.role}>
      <p className="notice-title">{props.title}</p>
      {props.children}
    </div>
  );
}
