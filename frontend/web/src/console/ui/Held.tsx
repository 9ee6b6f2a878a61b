/**
 * What has dialogs stands still while one of them is open: with its row, or with its button that a new status
 * takes away, the dialog would be gone, too.
 */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useRef, useState } from "react";

/** Begins to hold; answers how to end it. */
type Hold = () => () => void;

const Context = createContext<Hold | undefined>(undefined);

interface HeldProps<T> {
  /** What it is: another list or thing is shown at once, whatever is open. */
  name: string;
  value: T;
  children(value: T): ReactNode;
}

/** Shows a value that goes on changing; while a dialog below is open, as it was when the dialog opened. */
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

/** Holds what is around while a dialog is open. Where nothing is held it does nothing. */
export function useHold(isOpen: boolean): void {
  const hold = useContext(Context);
  useEffect(() => (isOpen ? hold?.() : undefined), [isOpen, hold]);
}
