/**
 * Freezes content while one of its dialogs is open: an update that removes the row, or the button of a dialog, would
 * otherwise close the dialog.
 */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useRef, useState } from "react";

/** Starts to hold the value. Returns a function that releases it. */
type Hold = () => () => void;

const Context = createContext<Hold | undefined>(undefined);

interface HeldProps<T> {
  /** Identifies the content: a value with another name is shown at once, even while a dialog is open. */
  name: string;
  value: T;
  children(value: T): ReactNode;
}

/** Shows a changing value; while a dialog inside is open, the value stays as it was when the dialog opened. */
export function Held<T>({ name, value, children }: HeldProps<T>) {
  const [dialogs, setDialogs] = useState(0);
  const shown = useRef({ name, value });
  if (dialogs === 0 || shown.current.name !== name) shown.current = { name, value };
  const hold = useCallback<Hold>(() => {
    setDialogs((count) => count + 1);
    return () => setDialogs((count) => count - 1);
  }, []);
  return <Context value={hold}>{children(shown.current.value)}</Context>;
}

/** Freezes the enclosing `Held` while a dialog is open. Without one it does nothing. */
export function useHold(isOpen: boolean): void {
  const hold = useContext(Context);
  useEffect(() => (isOpen ? hold?.() : undefined), [isOpen, hold]);
}
