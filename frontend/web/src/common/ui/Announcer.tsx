import { useSyncExternalStore } from "react";

let current = "";
const listeners = new Set<() => void>();

/** Has screen readers announce a change on the page; nothing is shown. A repeated text is announced again. */
export function announce(text: string): void {
  // An appended no-break space makes a repeated text count as a change.
  current = text === current ? `${text}\u00a0` : text;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The live region that screen readers read. Render it once per page. */
export function Announcer() {
  const text = useSyncExternalStore(subscribe, () => current);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {text}
    </div>
  );
}
