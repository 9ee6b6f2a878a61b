import { type ReactNode, useEffect, useRef } from "react";
import "./parts.css";

/** A box that says something about the page. Use `role="alert"` only for what cannot wait. */
export function Notice(props: {
  tone: "info" | "good" | "warn" | "bad";
  title: string;
  role?: "alert" | "status";
  /** Brings it into view when it appears: for what asks something of the reader. */
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
