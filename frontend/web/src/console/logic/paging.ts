/** Cursor-based lists with client-side filters that the API does not offer. */

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** Maximum number of pages that are scanned for one page of a filtered list. */
const LOOKED_THROUGH_MAX = 10;

/** A page of matching items; `exhausted: false` when the scan stopped before the page was full. */
export interface FilteredPage<Item> extends Page<Item> {
  exhausted: boolean;
}

/**
 * A page of matching items. Pages are fetched until `want` items match (whole pages, so that the cursor stays valid),
 * the list ends, or ten pages have been scanned.
 */
export async function filteredPage<Item>(
  fetchPage: (cursor: string | undefined) => Promise<Page<Item>>,
  passes: (item: Item) => boolean,
  cursor: string | undefined,
  want: number,
): Promise<FilteredPage<Item>> {
  const items: Item[] = [];
  let next = cursor;
  for (let looked = 0; looked < LOOKED_THROUGH_MAX; looked += 1) {
    const page = await fetchPage(next);
    items.push(...page.items.filter(passes));
    if (page.next_cursor === null) return { items, next_cursor: null, exhausted: true };
    next = page.next_cursor;
    if (items.length >= want) return { items, next_cursor: next, exhausted: true };
  }
  return { items, next_cursor: next ?? null, exhausted: false };
}

/** Finds the previous page: cursors lead forward only, so the visited pages are remembered. */
export class Trail {
  private readonly before = new Map<string, string>();

  /** Records a step from one page of a list to the next. */
  went(list: string, from: string | undefined, to: string): void {
    this.before.set(`${list} ${to}`, from ?? "");
  }

  /** The cursor of the previous page, "" for the first page, `undefined` when it is unknown. */
  previous(list: string, cursor: string | undefined): string | undefined {
    return cursor === undefined ? undefined : this.before.get(`${list} ${cursor}`);
  }
}

/** A count with a lower bound only ("200+") when there is another page. */
export interface Count {
  value: number;
  more: boolean;
}

export function countOf(page: Page<unknown>): Count {
  return { value: page.items.length, more: page.next_cursor !== null };
}
