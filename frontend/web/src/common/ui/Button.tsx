import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components/Button";
import "./button.css";

export interface ButtonProps extends Omit<AriaButtonProps, "className" | "style"> {
  /** `primary`: what the page is for. `danger`: cannot be undone. `quiet`: beside other things. */
  variant?: "primary" | "secondary" | "danger" | "quiet";
  size?: "small" | "normal" | "large";
  className?: string;
}

/** A button. `isPending` keeps its focus and its size, and takes no further press. */
export function Button({ variant = "secondary", size = "normal", className, ...props }: ButtonProps) {
  return (
    <AriaButton {...props} className={`button button-${variant} button-${size} ${className ?? ""}`.trim()} />
  );
}
