import type { ReactNode } from "react";
import "./parts.css";

export type Tone = "good" | "warn" | "bad" | "info" | "neutral";

/** A short label for a state. The colour only repeats what the text says. */
export function Badge({ tone = "neutral", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}
