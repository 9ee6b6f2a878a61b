import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE_MS = 60_000;
const POLL_MS = 50;
const PAGES_MAX = 1000;

/** Polls until `ask` returns something other than undefined. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    const answer = await ask();
    if (answer !== undefined) {
      return answer;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
}

/** Every item of a list, page by page. Throws when there is one page only: that would not test the cursor. */
export async function everything<T>(
  page: (query: { limit: number; cursor?: string }) => Promise<{ items: T[]; next_cursor: string | null }>,
  limit = 1,
): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  for (let pages = 1; pages <= PAGES_MAX; pages += 1) {
    const answer = await page(cursor === undefined ? { limit } : { limit, cursor });
    if (answer.items.length > limit) {
      throw new Error(`asked for ${limit} items, got ${answer.items.length}`);
    }
    items.push(...answer.items);
    if (answer.next_cursor === null) {
      if (pages === 1) {
        throw new Error("the list has one page only");
      }
      return items;
    }
    cursor = answer.next_cursor;
  }
  throw new Error(`the list has more than ${PAGES_MAX} pages`);
}

export function assert(condition: boolean, sentence: string): asserts condition {
  if (!condition) {
    throw new Error(sentence);
  }
}
