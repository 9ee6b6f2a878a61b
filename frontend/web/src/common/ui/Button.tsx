import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components/Button";
import "./button.css";

export interface ButtonProps extends Omit<AriaButtonProps, "className" | "style" | "isPending"> {
  /** `primary`: the page's main action. `danger`: cannot be undone. `quiet`: a minor action. */
  variant?: "primary" | "secondary" | "danger" | "quiet";
  size?: "small" | "normal" | "large";
  /**
   * The action is in progress: the button keeps its focus and size, and ignores further presses. (react-aria's own
   * `isPending` announces this by a reference to the button, which dangles when the page changes.)
   */
  isPending?: boolean;
  className?: string;
}

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
