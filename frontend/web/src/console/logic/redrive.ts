/** What became of a redrive. */

interface Job {
  total: number;
  processed: number;
  failed_again: number;
  discarded: number;
  done: boolean;
}

/** `good`: every letter was handled. `bad`: none was. `mixed`: some were. */
export type Outcome = "running" | "good" | "mixed" | "bad";

export function outcomeOf(job: Job): Outcome {
  if (!job.done) return "running";
  if (job.processed === job.total) return "good";
  return job.processed === 0 ? "bad" : "mixed";
}
