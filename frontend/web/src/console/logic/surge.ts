/** Sends many orders with limited concurrency. */

/** Result of one order. */
export type Answer = "confirmed" | "backordered" | "rejected" | "overloaded" | "failed";

export interface Tally {
  wanted: number;
  sent: number;
  answers: Record<Answer, number>;
  /** Response time of all answers so far, milliseconds. */
  medianMs: number | null;
  slowestMs: number | null;
  running: boolean;
}

export function emptyTally(wanted: number): Tally {
  const answers = { confirmed: 0, backordered: 0, rejected: 0, overloaded: 0, failed: 0 };
  return { wanted, sent: 0, answers, medianMs: null, slowestMs: null, running: true };
}

/** Maps the HTTP status of an order's response; 0 means no response. */
export function answerOf(status: number): Answer {
  if (status === 201) return "confirmed";
  if (status === 202) return "backordered";
  if (status === 409) return "rejected";
  return status === 503 || status === 429 ? "overloaded" : "failed";
}

export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}

/**
 * Sends `count` orders, at most `atOnce` of them in flight. `send` returns a status and never throws. `onProgress` is
 * called after each response. No further orders are sent once `stop` is aborted.
 */
export async function runSurge(options: {
  count: number;
  atOnce: number;
  send(): Promise<number>;
  stop: AbortSignal;
  onProgress(tally: Tally): void;
}): Promise<Tally> {
  const { count, atOnce, send, stop, onProgress } = options;
  let tally = emptyTally(count);
  const took: number[] = [];
  let sent = 0;
  const worker = async () => {
    while (sent < count && !stop.aborted) {
      sent += 1;
      const began = performance.now();
      const answer = answerOf(await send());
      took.push(performance.now() - began);
      const answers = { ...tally.answers, [answer]: tally.answers[answer] + 1 };
      tally = { ...tally, sent, answers };
      onProgress(tally);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
  tally = {
    ...tally,
    medianMs: median(took),
    slowestMs: took.length > 0 ? took.reduce((most, ms) => Math.max(most, ms)) : null,
    running: false,
  };
  onProgress(tally);
  return tally;
}
