import type { ReactNode } from "react";
import "./parts.css";

export type Tone = "good" | "warn" | "bad" | "info" | "neutral";

/** A short word about a state. The colour repeats what the word says, it never says it alone. */
export function Badge({ tone = "neutral", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}
