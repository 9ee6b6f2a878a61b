import { useSyncExternalStore } from "react";

let current = "";
const listeners = new Set<() => void>();

/** Tells a screen reader what has changed on the page; nothing is shown. The same text again is said again. */
export function announce(text: string): void {
  // A no-break space makes a repeated text a new one.
  current = text === current ? `${text}\u00a0` : text;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Where announcements are read from: once in each page. */
export function Announcer() {
  const text = useSyncExternalStore(subscribe, () => current);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {text}
    </div>
  );
}
