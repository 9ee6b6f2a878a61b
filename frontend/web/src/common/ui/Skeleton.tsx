import "./parts.css";

/** Sizes of common texts, so that the layout does not shift when the content arrives. */
export type SkeletonSize = "word" | "line" | "title" | "button" | "block" | "chart";

/** A grey placeholder for content that is still loading. */
export function Skeleton({ size = "line" }: { size?: SkeletonSize }) {
  return <span className={`skeleton skeleton-${size}`} aria-hidden="true" />;
}
