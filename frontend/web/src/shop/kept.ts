import { useSyncExternalStore } from "react";

/**
 * A value that outlives the page: in localStorage, shared by all tabs. What is found there was written by an
 * older version or by somebody's hand, so it is parsed, never trusted. Without storage it lasts as long as
 * the page.
 */
export class Kept<T> {
  private raw: string | null;
  private value: T;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly name: string,
    private readonly parse: (found: unknown) => T,
  ) {
    this.raw = read(name);
    this.value = parse(decoded(this.raw));
    addEventListener("storage", (event) => {
      if (event.key === name || event.key === null) this.reread();
    });
  }

  /** The value; the same object as long as nothing has changed. */
  readonly get = (): T => this.value;

  /** The value as it is in the storage now: another tab may have changed it a moment ago. */
  fresh(): T {
    this.reread();
    return this.value;
  }

  set(value: T): void {
    this.value = value;
    this.raw = JSON.stringify(value);
    try {
      localStorage.setItem(this.name, this.raw);
    } catch {
      // Forbidden or full: the page goes on with what it has in memory.
    }
    this.tell();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private reread(): void {
    const raw = read(this.name);
    if (raw === this.raw) return;
    this.raw = raw;
    this.value = this.parse(decoded(raw));
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

export function useKept<T>(kept: Kept<T>): T {
  return useSyncExternalStore(kept.subscribe, kept.get);
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function decoded(raw: string | null): unknown {
  if (raw === null) return undefined;
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}
