/** Lists by cursor, with filters that an API does not have. */

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** Most pages that are looked through for one page of a filtered list. */
const LOOKED_THROUGH_MAX = 10;

/** A page of what passes; `exhausted: false` when the search was given up before the page was full. */
export interface FilteredPage<Item> extends Page<Item> {
  exhausted: boolean;
}

/**
 * A page of the items that pass: pages are fetched until there are `want` of them (whole pages, so that
 * cursors fit), the list ends, or ten pages were looked through.
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

/** Where "previous" leads: cursors lead forward only, so the way that was gone is remembered. */
export class Trail {
  private readonly before = new Map<string, string>();

  /** The reader goes from one page of a list to its next. */
  went(list: string, from: string | undefined, to: string): void {
    this.before.set(`${list} ${to}`, from ?? "");
  }

  /** The page before: its cursor, "" for the first, `undefined` when it is not known. */
  previous(list: string, cursor: string | undefined): string | undefined {
    return cursor === undefined ? undefined : this.before.get(`${list} ${cursor}`);
  }
}

/** A count that may go on: "200+" when there is another page. */
export interface Count {
  value: number;
  more: boolean;
}

export function countOf(page: Page<unknown>): Count {
  return { value: page.items.length, more: page.next_cursor !== null };
}
