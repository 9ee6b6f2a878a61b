/**
 * Maximum wait for something to appear, milliseconds. Pages are imported on first use, which takes seconds while
 * other test files run in parallel; only a broken page takes longer than this.
 */
export const PATIENCE_MS = 60_000;
