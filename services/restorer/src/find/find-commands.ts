import { KEY_EFFECT, swappedDatabases, visitKeys, type CommandBatch } from '@tidemark/aof';
import { commandName } from '@tidemark/archive';
import {
  withinWindow,
  type FoundCommand,
  type FoundKey,
  type KeyMatcher,
  type SearchTotals,
  type SecondWindow,
} from './found-command.ts';
import { endsWithin, LogSearcher, placeOf, type CommandPlaces } from './search-log.ts';
import type { SearchEnvironment } from './segment-access.ts';

/** Keys of a command that are named. */
const KEYS_NAMED = 3;

/** Which commands are looked for. */
export interface CommandSearch {
  readonly instance: string;
  /** Names in lower case. */
  readonly names: ReadonlySet<string>;
  /** null = with any keys, or none. */
  readonly keys: KeyMatcher | null;
  readonly window: SecondWindow;
}

/** A search for commands that goes on while it is iterated, once. */
export interface FoundCommands extends AsyncIterable<readonly FoundCommand[]> {
  readonly totals: SearchTotals;
}

/**
 * Finds commands by name, and by the keys that they reach: FLUSHALL and the like reach every key of
 * their databases, a command that is not known may reach any. Reads footers first and fetches only
 * what can hold one.
 * @returns In the order of timelines and offsets, in batches.
 * @throws UsageError `TM_NOT_FOUND`; IntegrityError, FormatError, KeyError, StoreError.
 */
export function findCommands(search: CommandSearch, environment: SearchEnvironment): FoundCommands {
  const { instance, names, keys, window } = search;
  const searcher = new LogSearcher({ instance, window, wanted: { names, keys } }, environment);
  return {
    get totals() {
      return searcher.totals;
    },
    async *[Symbol.asyncIterator]() {
      for await (const item of searcher.items()) {
        if (item.kind !== 'commands') continue;
        const found = foundIn(item.batch, item.places, search);
        if (found.length > 0) yield found;
      }
    },
  };
}

function foundIn(
  batch: CommandBatch,
  places: CommandPlaces,
  { names, keys, window }: CommandSearch,
): readonly FoundCommand[] {
  const found: FoundCommand[] = [];
  for (let row = 0; row < batch.count; row++) {
    const name = commandName(batch, row);
    if (!names.has(name) || !endsWithin(batch, row, places)) continue;
    const reached = reachedBy(batch, row, keys);
    if (reached === null) continue;
    const place = placeOf(batch, row, places, name);
    if (!withinWindow(place, window)) continue;
    found.push({ ...place, db: batch.db[row] as number, ...reached });
  }
  return found;
}

/** The keys that a command names; null when it cannot reach a wanted one. */
function reachedBy(
  batch: CommandBatch,
  row: number,
  wanted: KeyMatcher | null,
): Pick<FoundCommand, 'keys' | 'keyCount'> | null {
  const keys: FoundKey[] = [];
  let keyCount = 0;
  let reaches = wanted === null;
  const effect = visitKeys(batch, row, (db, start, end) => {
    keyCount += 1;
    if (!reaches && wanted !== null) reaches = wanted.matches(db, batch.data, start, end);
    if (keys.length < KEYS_NAMED)
      keys.push({ db, key: Buffer.from(batch.data.subarray(start, end)) });
  });
  if (!reaches && wanted !== null) reaches = reachesUnnamed(batch, row, effect, wanted);
  return reaches ? { keys, keyCount } : null;
}

function reachesUnnamed(
  batch: CommandBatch,
  row: number,
  effect: number,
  wanted: KeyMatcher,
): boolean {
  switch (effect) {
    case KEY_EFFECT.flushDb:
      return wanted.matchesDb(batch.db[row] as number);
    case KEY_EFFECT.swapDb: {
      const swapped = swappedDatabases(batch, row);
      return swapped === null || [swapped.first, swapped.second].some((db) => wanted.matchesDb(db));
    }
    case KEY_EFFECT.flushAll:
    case KEY_EFFECT.slots:
    case KEY_EFFECT.unknown:
      return true;
    default:
      return false;
  }
}
