import { timingSafeEqual } from 'node:crypto';
import { wrappedKeyKey } from '@tidemark/archive';
import { bytesOf, IntegrityError, KeyError, nameObject, TidemarkError } from '@tidemark/core';
import {
  encodeWrappedDataKey,
  isSameKey,
  wipeDataKey,
  type DataKey,
  type KeyContext,
  type WrappedDataKey,
} from '@tidemark/crypto';
import { eraseObject } from '@tidemark/store';
import { generationsOf, type KeyGeneration } from '../fetch/key-generations.ts';
import { readWrapped } from '../fetch/read-wrapped.ts';
import type { RewrapOptions } from './rewrap-keys.ts';

/** Times that a key is looked at again because somebody else wrote a generation of it. */
const TRIES_MAX = 5;

/** What was done about one data key. */
export interface RewrapOutcome {
  readonly dekId: string;
  /** The generation that was written now; null: the newest one is wrapped with the target. */
  readonly written: string | null;
  /** Whether it was seen to open, or nothing older was left to be removed. */
  readonly tested: boolean;
  readonly removed: number;
  /** Takes every generation away: the key was destroyed meanwhile. */
  undo(): Promise<void>;
}

type Part = Pick<RewrapOptions, 'instance' | 'target' | 'store' | 'keys'>;

/**
 * Wraps one data key anew, where it is not yet wrapped with the target, and removes what is older
 * once the new generation was seen to open.
 * @param seen - Its generations, newest first; at least one.
 * @throws KeyError, FormatError, IntegrityError, StoreError that name the object.
 */
export async function rewrapOne(
  seen: readonly KeyGeneration[],
  options: Part,
): Promise<RewrapOutcome> {
  let generations = seen;
  const dekId = seen[0]?.dekId ?? '';
  for (let attempt = 1; attempt <= TRIES_MAX; attempt++) {
    const outcome = await tryOnce(generations, options);
    if (outcome !== null) return outcome;
    generations = await generationsOf(options.instance, dekId, options.store);
  }
  throw new KeyError('TM_BUSY', `data key ${dekId} is wrapped anew by somebody else`, {
    context: { dekId, attempts: TRIES_MAX },
    hint: 'wait for the other rewrapping, then run it again',
  });
}

/** Null: another generation came in between. */
async function tryOnce(
  generations: readonly KeyGeneration[],
  options: Part,
): Promise<RewrapOutcome | null> {
  const { store } = options;
  const [newest, ...older] = generations;
  if (newest === undefined) return null;
  const current = await readOrNull(newest.path, options);
  if (current !== null && (await isDone(current, options))) {
    if (older.length === 0) return outcomeOf(newest.dekId, options, { tested: true });
    const tested = await testOpen(current, older, options).catch(ignoreDamage);
    if (tested === 'open') {
      const removed = await removeAll(older, store);
      return outcomeOf(newest.dekId, options, { tested: true, removed });
    }
    if (tested === 'denied') return outcomeOf(newest.dekId, options, { tested: false });
    // It does not open: an older one is wrapped anew, and this one goes with the rest.
  }
  const wrapped = await wrapAnew(generations, options);
  const path = wrappedKeyKey(options.instance, newest.dekId, newest.generation + 1n);
  const put = await store.putIfAbsent(path, bytesOf(encodeWrappedDataKey(wrapped)));
  if (put === 'exists') return null;
  const stored = await readWrapped(path, store);
  const tested = await testOpen(stored, generations, options);
  const removed = tested === 'open' ? await removeAll(generations, store) : 0;
  return outcomeOf(newest.dekId, options, { tested: tested === 'open', removed, written: path });
}

function outcomeOf(
  dekId: string,
  { instance, store }: Part,
  done: { readonly tested: boolean; readonly removed?: number; readonly written?: string },
): RewrapOutcome {
  return {
    dekId,
    written: done.written ?? null,
    tested: done.tested,
    removed: done.removed ?? 0,
    undo: async () => {
      await removeAll(await generationsOf(instance, dekId, store), store);
    },
  };
}

/** The newest generation that can be wrapped anew, wrapped anew. */
async function wrapAnew(
  generations: readonly KeyGeneration[],
  { instance, keys, store, target }: Part,
): Promise<WrappedDataKey> {
  let fault: TidemarkError | null = null;
  for (const { path, dekId } of generations) {
    try {
      const wrapped = await readWrapped(path, store);
      return await keys.rewrapDataKey(wrapped, contextOf(instance, dekId, wrapped), target);
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || cause.retryable) throw cause;
      fault ??= nameObject(cause, path) as TidemarkError;
    }
  }
  throw fault ?? new KeyError('TM_KEY_MISSING', 'a data key without a generation');
}

/**
 * Opens a generation, and holds it against an older one where that opens too. Without the right to
 * open (`denied`) nothing is known.
 * @throws IntegrityError when it holds another key than the older one; KeyError.
 */
async function testOpen(
  wrapped: WrappedDataKey,
  older: readonly KeyGeneration[],
  { instance, keys, store }: Part,
): Promise<'open' | 'denied'> {
  const context = contextOf(instance, wrapped.context.dekId, wrapped);
  let opened: DataKey;
  try {
    opened = await keys.unwrapDataKey(wrapped, context);
  } catch (cause) {
    if (cause instanceof KeyError && cause.code === 'TM_KEY_DENIED') return 'denied';
    throw cause;
  }
  try {
    for (const { path } of older) {
      const before = await openOrNull(path, context, { keys, store });
      if (before === null) continue;
      const same = timingSafeEqual(before.key, opened.key);
      wipeDataKey(before);
      if (same) return 'open';
      throw new IntegrityError('TM_SEAL_COMMITMENT', `${path} holds another key than the newest`, {
        context: { object: path },
        hint: 'no generation of it was removed; see "tidemark backup verify"',
      });
    }
    return 'open';
  } finally {
    wipeDataKey(opened);
  }
}

async function openOrNull(
  path: string,
  context: KeyContext,
  { keys, store }: Pick<Part, 'keys' | 'store'>,
): Promise<DataKey | null> {
  try {
    return await keys.unwrapDataKey(await readWrapped(path, store), context);
  } catch (cause) {
    return ignoreDamage(cause);
  }
}

async function readOrNull(path: string, { store }: Part): Promise<WrappedDataKey | null> {
  try {
    return await readWrapped(path, store);
  } catch (cause) {
    return ignoreDamage(cause);
  }
}

/** What is wrong with one generation; another one is asked. */
function ignoreDamage(cause: unknown): null {
  if (!(cause instanceof TidemarkError) || cause.retryable || cause.code === 'TM_CANCELLED') {
    throw cause;
  }
  return null;
}

/**
 * Whether a generation is wrapped with the target already. Versions are those of the ring, which
 * says its newest one by wrapping; a key service has one id for all versions of a key.
 */
async function isDone(current: WrappedDataKey, { instance, keys, target }: Part): Promise<boolean> {
  if (!isSameKey(current, target)) return false;
  if (current.keyVersion === 0) return true;
  const context = contextOf(instance, current.context.dekId, current);
  const again = await keys.rewrapDataKey(current, context, target).catch(ignoreDamage);
  return again?.keyVersion === current.keyVersion;
}

/** The purpose is bound by the wrapping: one that was changed does not open. */
function contextOf(instance: string, dekId: string, wrapped: WrappedDataKey): KeyContext {
  return { instance, dekId, purpose: wrapped.context.purpose };
}

async function removeAll(
  generations: readonly KeyGeneration[],
  store: Part['store'],
): Promise<number> {
  let removed = 0;
  for (const { path } of generations) removed += await eraseObject(store, path);
  return removed;
}
