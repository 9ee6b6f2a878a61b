/**
 * Longest wait for something to appear, milliseconds. Pages are imported when they are first shown, which takes seconds
 * while other files are tested beside this one: only a broken page takes longer than this.
 */
export const PATIENCE_MS = 60_000;
