import { readNodeFacts, type NodeClient } from '@tidemark/client';
import type { KeyDifference } from '../key-difference.ts';
import type { Throttle } from '../throttle/throttle.ts';
import {
  literalPages,
  PAGE_KEYS,
  scanSelected,
  selectedDatabases,
  type KeyFilter,
} from './enumerate-keys.ts';
import { ValueJudge } from './judge-values.ts';
import { PageComparer } from './page-comparer.ts';
import { Side } from './side.ts';
import { openSpareDatabase } from './spare-database.ts';

/** Two servers. */
export interface ComparedSides {
  /**
   * What the keys were. It is ours alone: nobody writes to it, it allows DEBUG, it has a database
   * that holds nothing, and values are written there for a moment.
   */
  readonly then: NodeClient;
  /** What they are now. Only read, by commands that any user may be given. */
  readonly live: NodeClient;
}

/** How the selected keys of two servers are compared. */
export interface CompareSelectedOptions {
  readonly selector: KeyFilter;
  /** Spares the live side. */
  readonly throttle: Throttle;
  readonly signal: AbortSignal;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** Told how many more keys are the same. */
  readonly onSame?: (count: number) => void;
  /** The point, Unix milliseconds: what had expired by then was no key. Default: nothing had. */
  readonly atMs?: number;
  /**
   * Keys of `then` that may be expired and hidden, by database. SCAN does not show those of a
   * replica, so that without candidates only those are found that are named or live now.
   */
  readonly expiring?: ReadonlyMap<number, readonly Buffer[]>;
  /**
   * Whether a hidden key of `then`, whose expiry no server tells, was dead at the point and is no
   * key. Default: it has expired since.
   */
  readonly wasDead?: (db: number, key: Buffer) => boolean;
}

/**
 * Every selected key of two servers, with what became of it; `same` ones are only counted.
 *
 * Named keys are looked up. Else the keys of `then` are walked and looked up on `live`, then those
 * of `live` of which `then` has none: a key is in one walk or the other and is told once. Memory
 * does not grow with the number of keys, nor with values over 8 MiB but for single elements.
 * A type that is selected is the type at the point; of a key that was not there, the type now.
 * @returns Batches of at most 500.
 * @throws NodeError when a server leaves or refuses: `TM_NODE_RIGHTS` names the command that the
 *   user of the live side lacks; PlanError `TM_TARGET_DATABASES`.
 */
export async function* compareSelected(
  sides: ComparedSides,
  options: CompareSelectedOptions,
): AsyncGenerator<readonly KeyDifference[]> {
  const { selector, signal, throttle } = options;
  const then = await Side.openOwn(sides.then, signal);
  const live = await Side.open(sides.live, { throttle, signal });
  const databases = await selectedDatabases(then, live, selector);
  if (databases.length === 0) return;
  const spareDb = await openSpareDatabase(sides.then);
  const dialect = { ...(await readNodeFacts(sides.then)), commands: null };
  const comparer = new PageComparer({
    ...options,
    then,
    live,
    judge: new ValueJudge({ then, live, spareDb, dialect }),
  });
  for (const db of databases) {
    if (selector.literals !== null) {
      for (const page of literalPages(selector.literals, db, selector)) {
        yield* comparer.compare(db, page);
      }
      continue;
    }
    for await (const page of scanSelected(then, db, selector)) yield* comparer.compare(db, page);
    const expiring = expiringOf(options, db);
    for (let start = 0; start < expiring.length; start += PAGE_KEYS) {
      const page = await comparer.absentOnly(db, expiring.slice(start, start + PAGE_KEYS));
      yield* comparer.compare(db, page);
    }
    const told = new Set(expiring.map((key) => key.toString('latin1')));
    for await (const page of scanSelected(live, db, selector)) {
      const fresh = page.filter((key) => !told.has(key.toString('latin1')));
      yield* comparer.compare(db, await comparer.absentOnly(db, fresh));
    }
  }
}

/** The selected candidates of a database, each once. */
function expiringOf({ expiring, selector }: CompareSelectedOptions, db: number): readonly Buffer[] {
  const selected = (expiring?.get(db) ?? []).filter((key) => selector.matches(db, key));
  return [...new Map(selected.map((key) => [key.toString('latin1'), key])).values()];
}
