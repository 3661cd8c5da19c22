import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectInfo } from '../object-store.ts';
import { errnoOf, storeError } from './fs-errors.ts';
import { entryOf, pathOfKey, type Entry } from './key-path.ts';

const BATCH_MAX = 1000;
const STATS_AT_ONCE = 32;

/** What of a store is to be listed. */
export interface ListRange {
  readonly root: string;
  /** The folder of all components that the prefix names in full. */
  readonly path: string;
  readonly prefix: string;
  /** Exclusive; '' from the beginning. */
  readonly after: string;
  /** How many keys the first batch holds at most; undefined: as all others. */
  readonly first: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Walks the folders in the order of the keys and yields batches of at most 1,000.
 *
 * Memory holds the names of the folders on the way down to the current one, not the whole listing.
 */
export async function* listObjects(
  range: ListRange,
): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
  const base = range.prefix.slice(0, range.prefix.lastIndexOf('/') + 1);
  // One list of entries per level, last entry first, so that taking one is a pop.
  const levels: Entry[][] = [await readEntries({ base, path: range.path }, range)];
  let found: Entry[] = [];
  let batchMax = Math.min(BATCH_MAX, Math.max(1, range.first ?? BATCH_MAX));
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    range.signal?.throwIfAborted();
    const entry = level.pop();
    if (entry === undefined) {
      levels.pop();
    } else if (entry.kind === 'object') {
      found.push(entry);
      if (found.length === batchMax) {
        const batch = await infosOf(found);
        found = [];
        if (batch.length > 0) batchMax = BATCH_MAX;
        if (batch.length > 0) yield batch;
      }
    } else {
      const below = await readEntries(placeOf(entry), range);
      const next = level.at(-1);
      // Names beside the group may fall between names within it: then they are sorted together.
      if (next?.key.startsWith(entry.key) === true) {
        level.push(...below);
        level.sort(lastFirst);
      } else {
        levels.push(below);
      }
    }
  }
  const batch = await infosOf(found);
  if (batch.length > 0) yield batch;
}

interface Place {
  readonly base: string;
  readonly path: string;
}

function placeOf(entry: Entry): Place {
  const base = entry.key.slice(0, entry.key.lastIndexOf('/') + 1);
  return { base, path: entry.path };
}

const lastFirst = (a: Entry, b: Entry): number => {
  if (a.key === b.key) return a.kind === 'object' ? 1 : -1;
  return a.key < b.key ? 1 : -1;
};

async function readEntries(place: Place, range: ListRange): Promise<Entry[]> {
  const names = await readNames(place.path);
  const entries: Entry[] = [];
  for (const name of names) {
    const entry = entryOf(name, place);
    if (entry !== null && isInRange(entry, range) && isAtHome(entry, range)) entries.push(entry);
  }
  return entries.sort(lastFirst);
}

async function readNames(path: string): Promise<readonly string[]> {
  try {
    // Not through a symbolic link, and not into a foreign file.
    return (await lstat(path)).isDirectory() ? await readdir(path) : [];
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return [];
    throw storeError('list', '', cause);
  }
}

function isInRange(entry: Entry, { prefix, after }: ListRange): boolean {
  const { key } = entry;
  if (entry.kind === 'object') return key.startsWith(prefix) && key > after;
  if (!key.startsWith(prefix) && !prefix.startsWith(key)) return false;
  return key > after || after.startsWith(key);
}

/** A file outside the one place of its key is not an object: no get would find it. */
function isAtHome(entry: Entry, { root }: ListRange): boolean {
  if (entry.kind !== 'object') return true;
  const home = pathOfKey(entry.key);
  return entry.path === join(root, ...home.folders, home.file);
}

async function infosOf(entries: readonly Entry[]): Promise<ObjectInfo[]> {
  const infos: ObjectInfo[] = [];
  for (let start = 0; start < entries.length; start += STATS_AT_ONCE) {
    const part = entries.slice(start, start + STATS_AT_ONCE);
    for (const info of await Promise.all(part.map(infoOf))) {
      if (info !== null) infos.push(info);
    }
  }
  return infos;
}

async function infoOf(entry: Entry): Promise<ObjectInfo | null> {
  try {
    const facts = await lstat(entry.path);
    return facts.isFile() ? { key: entry.key, size: facts.size } : null;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null; // deleted since
    throw storeError('look at', entry.key, cause);
  }
}
