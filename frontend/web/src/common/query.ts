import { QueryClient } from "@tanstack/react-query";
import { isTemporary, ProblemError } from "./api/problem";

const TRIES_MAX = 3;
const DELAY_MS_MAX = 30_000;

/** Retries only when that can help, so never after a 4xx that rejects the request itself. */
export function shouldRetry(failures: number, error: unknown): boolean {
  return failures < TRIES_MAX && isTemporary(error);
}

/** `Retry-After` when the response has one, else exponential backoff. */
export function retryDelay(failures: number, error: unknown): number {
  if (error instanceof ProblemError && error.retryAfterS !== undefined) {
    return Math.min(error.retryAfterS * 1000, DELAY_MS_MAX);
  }
  return Math.min(500 * 2 ** failures, DELAY_MS_MAX);
}

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { retry: shouldRetry, retryDelay, staleTime: 5_000 },
      // A person starts each change, sees the error, and decides.
      mutations: { retry: false },
    },
  });
}
