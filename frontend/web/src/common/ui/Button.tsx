import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components/Button";
import "./button.css";

export interface ButtonProps extends Omit<AriaButtonProps, "className" | "style" | "isPending"> {
  /** `primary`: what the page is for. `danger`: cannot be undone. `quiet`: beside other things. */
  variant?: "primary" | "secondary" | "danger" | "quiet";
  size?: "small" | "normal" | "large";
  /**
   * What it has begun is under way: it keeps its focus and its size, and takes no further press. (Not
   * react-aria's own: that is announced by a reference to the button, which dangles when the page changes.)
   */
  isPending?: boolean;
  className?: string;
}

/** A button. */
export function Button({
  variant = "secondary",
  size = "normal",
  isPending = false,
  className,
  type = "button",
  onPress,
  ...props
}: ButtonProps) {
  const pending = isPending
    ? { "aria-disabled": true, "data-pending": true, type: "button" as const }
    : { type, ...(onPress ? { onPress } : {}) };
  return (
    <AriaButton
      {...props}
      {...pending}
      className={`button button-${variant} button-${size} ${className ?? ""}`.trim()}
    />
  );
}
