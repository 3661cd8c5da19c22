import type { Selector } from '@tidemark/selector';
import { RecentKeys } from './recent-keys.ts';
import type { Side } from './side.ts';

/** Keys that SCAN looks at in one call, and that a page holds at most. */
const SCAN_COUNT = 500;
export const PAGE_KEYS = 500;
/** Of the names of keys, as they travel. */
const KEY_BYTES_GUESSED = 64;

/** What a comparison asks of a selector. */
export type KeyFilter = Pick<
  Selector,
  'hasTypes' | 'literals' | 'matches' | 'matchesDb' | 'matchesType'
>;

/** Databases that hold keys on either side and that the selector allows, in order. */
export async function selectedDatabases(
  sides: readonly Side[],
  selector: KeyFilter,
): Promise<readonly number[]> {
  const found = new Set<number>();
  for (const { client } of sides) {
    const info = await client.info('keyspace');
    for (const name of info.names(/^db\d+$/)) found.add(Number(name.slice(2)));
  }
  return [...found].filter((db) => selector.matchesDb(db)).sort((a, b) => a - b);
}

/** The literal keys of a selector that count in a database, in pages. */
export function* literalPages(
  literals: readonly Buffer[],
  db: number,
  selector: KeyFilter,
): Generator<readonly Buffer[]> {
  for (let start = 0; start < literals.length; start += PAGE_KEYS) {
    const page = literals
      .slice(start, start + PAGE_KEYS)
      .filter((key) => selector.matches(db, key));
    if (page.length > 0) yield page;
  }
}

/** The keys of a database that a selector matches, in pages; each comes once. */
export async function* scanSelected(
  side: Side,
  db: number,
  selector: KeyFilter,
): AsyncGenerator<readonly Buffer[]> {
  const recent = new RecentKeys();
  let cursor = '0';
  do {
    const words = ['SCAN', cursor, 'COUNT', SCAN_COUNT];
    const [next, found] = (await side.ask(db, words, SCAN_COUNT * KEY_BYTES_GUESSED)) as [
      Buffer,
      readonly Buffer[],
    ];
    cursor = next.toString();
    const page = found.filter((key) => selector.matches(db, key) && recent.add(key));
    for (let start = 0; start < page.length; start += PAGE_KEYS) {
      yield page.slice(start, start + PAGE_KEYS);
    }
  } while (cursor !== '0');
}
