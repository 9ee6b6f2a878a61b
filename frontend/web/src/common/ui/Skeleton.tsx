import "./parts.css";

/** Lengths that stand for common texts, so that nothing jumps when the text arrives. */
export type SkeletonSize = "word" | "line" | "title" | "button" | "block" | "chart";

/** A grey place for what is still on its way, as large as that will be. */
export function Skeleton({ size = "line" }: { size?: SkeletonSize }) {
  return <span className={`skeleton skeleton-${size}`} aria-hidden="true" />;
}
