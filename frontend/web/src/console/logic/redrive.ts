/** Overall result of a redrive. */

interface Job {
  total: number;
  processed: number;
  failed_again: number;
  discarded: number;
  done: boolean;
}

/** `good`: all messages were processed. `bad`: none. `mixed`: some. */
export type Outcome = "running" | "good" | "mixed" | "bad";

export function outcomeOf(job: Job): Outcome {
  if (!job.done) return "running";
  if (job.processed === job.total) return "good";
  return job.processed === 0 ? "bad" : "mixed";
}
