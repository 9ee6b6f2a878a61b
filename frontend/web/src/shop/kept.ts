import { useSyncExternalStore } from "react";

/**
 * A value in localStorage that outlives the page and is shared by all tabs. The stored text may come from an older
 * version or may have been edited, so it is always parsed and validated. Without storage the value lasts until the
 * page is closed.
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

  /** The value; the same object until it changes. */
  readonly get = (): T => this.value;

  /** Rereads the value from storage, in case another tab has just changed it. */
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
      // Storage is blocked or full: the page continues with the value in memory.
    }
    this.notify();
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
    this.notify();
  }

  private notify(): void {
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
