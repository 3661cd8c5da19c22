import { wrappedKeyKey, wrappedKeyPrefix } from '@tidemark/archive';
import {
  SHREDDED_PER_ENTRY_MAX,
  type InstanceLog,
  type InstanceState,
  type KeyShredded,
} from '@tidemark/catalog';
import { StoreError, type Clock } from '@tidemark/core';
import { eraseObject, versionsOf, type ObjectStore } from '@tidemark/store';
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
  /** Whether the store says which versions of an object it keeps. */
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
 * @throws KeyError `TM_BUSY` while a lease holds the history; StoreError `TM_STORE_LOCKED` while the
 *   store holds the objects: nothing was done then.
 */
export async function shredKeys(options: ShredOptions): Promise<ShredReport> {
  const { instance, dekIds, store, log, clock, signal } = options;
  const prefixes = prefixesOf(instance, dekIds);
  refuseLeased(log.state, clock.nowMs());
  for (const prefix of prefixes) {
    await refuseLocked(prefix, store, { nowMs: clock.nowMs(), signal });
  }
  const again = await writeTombstones(options, await isAnyLeft(prefixes, options));
  let removed = 0;
  for (const prefix of prefixes) {
    removed = await removeAll(prefix, options, removed);
  }
  return { removed, versioned: versionsOf(store) !== null, again };
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
    for await (const _ of objectsBelow(prefix, store, signal)) return true;
  }
  return false;
}

async function removeAll(prefix: string, options: ShredOptions, before: number): Promise<number> {
  const { store, signal, onProgress } = options;
  let removed = before;
  for (let pass = 1; pass <= PASSES_MAX; pass++) {
    let found = 0;
    for await (const key of objectsBelow(prefix, store, signal)) {
      found += 1;
      removed += await eraseObject(store, key);
      onProgress(removed);
    }
    if (found === 0) return removed;
  }
  throw new StoreError('TM_BUSY', 'data keys are written while they are destroyed', {
    context: { prefix, passes: PASSES_MAX },
    hint: 'end what writes to this instance, then run it again',
  });
}

/** Every object below a prefix, those counted of which only an older version is left. */
async function* objectsBelow(
  prefix: string,
  store: ObjectStore,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const batches = versionsOf(store)?.list(prefix, { signal }) ?? store.list(prefix, { signal });
  let last = '';
  for await (const batch of batches) {
    signal.throwIfAborted();
    for (const { key } of batch) {
      if (key !== last) yield key;
      last = key;
    }
  }
}
