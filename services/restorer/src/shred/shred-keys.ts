import { wrappedKeyKey, wrappedKeyPrefix } from '@tidemark/archive';
import {
  SHREDDED_PER_ENTRY_MAX,
  type InstanceLog,
  type InstanceState,
  type KeyShredded,
} from '@tidemark/catalog';
import { StoreError, type Clock } from '@tidemark/core';
import { eraseObject, listVersions, versionsOf, type ObjectStore } from '@tidemark/store';
import { refuseLeased, refuseLocked } from './may-shred.ts';

/** Times that the keys are listed: a rewrapping may put one more while they go. */
const PASSES_MAX = 5;

/** What keys are destroyed with. */
export interface ShredOptions {
  readonly instance: string;
  /** Data keys; null = every one of the instance. */
  readonly dekIds: readonly string[] | null;
  readonly store: ObjectStore;
  /** Of the instance. */
  readonly log: InstanceLog;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (removed: number) => void;
}

/** What was destroyed. */
export interface ShredReport {
  /** Objects that were removed, and versions of them where the store keeps versions. */
  readonly removed: number;
  /** Whether the store says which versions it keeps: of everything removed it named them. */
  readonly versioned: boolean;
  /** Whether the log said so before: an earlier run was interrupted, or did it all. */
  readonly again: boolean;
}

/**
 * Destroys wrapped data keys: every generation of them, and every version of each where the store
 * keeps versions. What they sealed stays where it is and can never be read again.
 *
 * The tombstone is written first: from then on nothing is restored with these keys, and a rewrapping
 * under way takes back what it wrote. Interrupted, it is run again.
 *
 * Each object is looked for again once it was removed: a server that says so and keeps it is no
 * success.
 * @throws KeyError `TM_BUSY` while a lease holds the history; StoreError `TM_STORE_LOCKED` while the
 *   store holds the objects: nothing was done then; `TM_STORE_REFUSED` when it does not remove them.
 */
export async function shredKeys(options: ShredOptions): Promise<ShredReport> {
  const { instance, dekIds, store, log, clock, signal } = options;
  const prefixes = prefixesOf(instance, dekIds);
  refuseLeased(log.state, clock.nowMs());
  for (const prefix of prefixes) {
    await refuseLocked(prefix, store, { nowMs: clock.nowMs(), signal });
  }
  const again = await writeTombstones(options, await isAnyLeft(prefixes, options));
  const tally = { removed: 0, versioned: versionsOf(store) !== null };
  for (const prefix of prefixes) await removeAll(prefix, options, tally);
  return { ...tally, again };
}

function prefixesOf(instance: string, dekIds: readonly string[] | null): readonly string[] {
  if (dekIds === null) return [wrappedKeyPrefix(instance)];
  return dekIds.map((dekId) => {
    const sample = wrappedKeyKey(instance, dekId, 1);
    return sample.slice(0, sample.lastIndexOf('/') + 1);
  });
}

/** @returns Whether all of it was said before. */
async function writeTombstones(
  { dekIds, log, clock }: ShredOptions,
  isLeft: boolean,
): Promise<boolean> {
  if (dekIds === null) {
    const seq = await log.append((state) => {
      // Said anew where keys are left: they may have been made since it was said.
      if (!isLeft && state.shredded.instanceMs !== null) return null;
      return wholeInstance(state, clock.nowMs());
    });
    return seq === null;
  }
  let again = true;
  for (let at = 0; at < dekIds.length; at += SHREDDED_PER_ENTRY_MAX) {
    const part = dekIds.slice(at, at + SHREDDED_PER_ENTRY_MAX);
    const seq = await log.append((state) => {
      refuseLeased(state, clock.nowMs());
      const fresh = part.filter((dekId) => !state.shredded.dekIds.includes(dekId));
      if (fresh.length === 0) return null;
      return { type: 'KeyShredded', scope: 'snapshot', dekIds: fresh, atMs: clock.nowMs() };
    });
    again &&= seq === null;
  }
  return again;
}

function wholeInstance(state: InstanceState, atMs: number): KeyShredded {
  refuseLeased(state, atMs);
  return { type: 'KeyShredded', scope: 'instance', dekIds: null, atMs };
}

async function isAnyLeft(
  prefixes: readonly string[],
  { store, signal }: ShredOptions,
): Promise<boolean> {
  for (const prefix of prefixes) {
    for await (const _ of listVersions(store, prefix, { signal })) return true;
  }
  return false;
}

/** What was removed so far. */
interface Tally {
  removed: number;
  versioned: boolean;
}

async function removeAll(prefix: string, options: ShredOptions, tally: Tally): Promise<void> {
  for (let pass = 1; pass <= PASSES_MAX; pass++) {
    const found = await removeListed(prefix, options, tally);
    if (!found) return;
  }
  throw new StoreError('TM_BUSY', 'data keys are written while they are destroyed', {
    context: { prefix, passes: PASSES_MAX },
    hint: 'end what writes to this instance, then run it again',
  });
}

/** Those too of which only an older version is left, and those of which no version is named. */
async function removeListed(
  prefix: string,
  { store, signal, onProgress }: ShredOptions,
  tally: Tally,
): Promise<boolean> {
  let found = false;
  const erase = async (key: string): Promise<void> => {
    found = true;
    tally.removed += await eraseObject(store, key);
    onProgress(tally.removed);
  };
  let last = '';
  for await (const batch of versionsOf(store)?.list(prefix, { signal }) ?? []) {
    signal.throwIfAborted();
    for (const { key } of batch) {
      if (key !== last) await erase(key);
      last = key;
    }
  }
  for await (const batch of store.list(prefix, { signal })) {
    signal.throwIfAborted();
    for (const { key } of batch) {
      tally.versioned = false;
      await erase(key);
    }
  }
  return found;
}
