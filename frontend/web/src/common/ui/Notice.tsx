import { type ReactNode, useEffect, useRef } from "react";
import "./parts.css";

/** A message box. Use `role="alert"` only for urgent messages. */
export function Notice(props: {
  tone: "info" | "good" | "warn" | "bad";
  title: string;
  role?: "alert" | "status";
  /** Scrolls the notice into view when it appears, for messages that need a response. */
  scrollTo?: boolean;
  children?: ReactNode;
}) {
  const box = useRef<HTMLDivElement>(null);
  const { scrollTo = false } = props;
  useEffect(() => {
    if (scrollTo) box.current?.scrollIntoView({ block: "nearest" });
  }, [scrollTo]);
  return (
    <div className={`notice notice-${props.tone}`} role={props.role} ref={box}>
      <p className="notice-title">{props.title}</p>
      {props.children}
    </div>
  );
}
