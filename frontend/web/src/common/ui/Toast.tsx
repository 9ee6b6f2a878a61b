import { useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./Button";
import "./parts.css";

const SHOWN_MS = 6_000;
const SHOWN_MAX = 3;

interface Toast {
  id: number;
  text: string;
}

let toasts: readonly Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function change(next: readonly Toast[]) {
  toasts = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Shows a message for a few seconds and announces it. Not for messages that need a response. */
export function toast(text: string): void {
  last += 1;
  const id = last;
  change([...toasts, { id, text }].slice(-SHOWN_MAX));
  setTimeout(() => dismiss(id), SHOWN_MS);
}

/** Removes all toasts: they belong to the page that was left. */
export function clearToasts(): void {
  if (toasts.length > 0) change([]);
}

function dismiss(id: number) {
  change(toasts.filter((toast) => toast.id !== id));
}

/** The region in which toasts appear. Render it once per page. */
export function ToastRegion() {
  const { t } = useTranslation();
  const shown = useSyncExternalStore(subscribe, () => toasts);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map(({ id, text }) => (
        <div className="toast" key={id}>
          <span>{text}</span>
          <Button variant="quiet" size="small" onPress={() => dismiss(id)} aria-label={t("action.close")}>
            ✕
          </Button>
        </div>
      ))}
    </div>
  );
}
