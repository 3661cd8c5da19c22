import { NodeError, PlanError } from '@tidemark/core';
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

/**
 * Databases that hold keys on either side and that the selector allows, in order.
 * @throws PlanError `TM_TARGET_DATABASES` when the live side has not got one of them.
 */
export async function selectedDatabases(
  then: Side,
  live: Side,
  selector: KeyFilter,
): Promise<readonly number[]> {
  const found = new Set<number>();
  for (const { client } of [then, live]) {
    const info = await client.info('keyspace');
    for (const name of info.names(/^db\d+$/)) found.add(Number(name.slice(2)));
  }
  const selected = [...found].filter((db) => selector.matchesDb(db)).sort((a, b) => a - b);
  const answers = await live.client.pipeline(selected.map((db) => ['SELECT', db]));
  for (const [i, answer] of answers.entries()) {
    if (!(answer instanceof NodeError)) continue;
    if (answer.code !== 'TM_NODE_REPLY') throw answer;
    throw new PlanError(
      'TM_TARGET_DATABASES',
      `the server has no database ${String(selected[i])}, in which keys are selected`,
      {
        cause: answer,
        context: { db: selected[i] ?? null },
        hint: 'leave it out with --exclude-db, or give the server more databases',
      },
    );
  }
  return selected;
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
