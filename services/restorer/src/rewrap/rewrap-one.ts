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
  const current = await readGeneration(newest, options).catch(ignoreDamage);
  if (current !== null && (await isDone(current, newest, options))) {
    if (older.length === 0) return outcomeOf(newest.dekId, options, { tested: true });
    const tested = await testOpen(newest, older, options).catch(ignoreDamage);
    if (tested === 'open') {
      const removed = await removeAll(older, store);
      return outcomeOf(newest.dekId, options, { tested: true, removed });
    }
    if (tested === 'denied') return outcomeOf(newest.dekId, options, { tested: false });
    // It does not open: an older one is wrapped anew, and this one goes with the rest.
  }
  const wrapped = await wrapAnew(generations, options);
  const { dekId } = newest;
  const generation = newest.generation + 1n;
  const path = wrappedKeyKey(options.instance, dekId, generation);
  const put = await store.putIfAbsent(path, bytesOf(encodeWrappedDataKey(wrapped)));
  if (put === 'exists') return null;
  const tested = await testOpen({ dekId, generation, path }, generations, options);
  const removed = tested === 'open' ? await removeAll(generations, store) : 0;
  return outcomeOf(dekId, options, { tested: tested === 'open', removed, written: path });
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
  options: Part,
): Promise<WrappedDataKey> {
  const { keys, target } = options;
  let fault: TidemarkError | null = null;
  for (const each of generations) {
    try {
      const wrapped = await readGeneration(each, options);
      return await keys.rewrapDataKey(wrapped, contextOf(each, wrapped, options), target);
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || cause.retryable) throw cause;
      fault ??= nameObject(cause, each.path) as TidemarkError;
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
  generation: KeyGeneration,
  older: readonly KeyGeneration[],
  options: Part,
): Promise<'open' | 'denied'> {
  let opened: DataKey;
  try {
    opened = await openGeneration(generation, options);
  } catch (cause) {
    if (cause instanceof KeyError && cause.code === 'TM_KEY_DENIED') return 'denied';
    throw cause;
  }
  try {
    for (const each of older) {
      const before = await openGeneration(each, options).catch(ignoreDamage);
      if (before === null) continue;
      const same = timingSafeEqual(before.key, opened.key);
      wipeDataKey(before);
      if (same) return 'open';
      throw new IntegrityError(
        'TM_SEAL_COMMITMENT',
        `${each.path} holds another key than the newest`,
        {
          context: { object: each.path },
          hint: 'no generation of it was removed; see "tidemark backup verify"',
        },
      );
    }
    return 'open';
  } finally {
    wipeDataKey(opened);
  }
}

async function openGeneration(generation: KeyGeneration, options: Part): Promise<DataKey> {
  const wrapped = await readGeneration(generation, options);
  return options.keys.unwrapDataKey(wrapped, contextOf(generation, wrapped, options));
}

/**
 * Reads a generation. Which data key it must be is said by its path: an object that was put in its
 * place opens well, as the key that it says it is.
 * @throws KeyError `TM_KEY_WRONG` for the object of another data key or instance; as `readWrapped`.
 */
async function readGeneration(
  { path, dekId }: KeyGeneration,
  { instance, store }: Part,
): Promise<WrappedDataKey> {
  const wrapped = await readWrapped(path, store);
  const { context } = wrapped;
  if (context.dekId === dekId && context.instance === instance) return wrapped;
  throw new KeyError('TM_KEY_WRONG', 'a wrapped key lies where another one belongs', {
    context: { object: path, dekId: context.dekId, instance: context.instance },
    hint: 'the stored key was moved or replaced; see "tidemark repo verify"',
  });
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
async function isDone(
  current: WrappedDataKey,
  generation: KeyGeneration,
  options: Part,
): Promise<boolean> {
  const { keys, target } = options;
  if (!isSameKey(current, target)) return false;
  if (current.keyVersion === 0) return true;
  const context = contextOf(generation, current, options);
  const again = await keys.rewrapDataKey(current, context, target).catch(ignoreDamage);
  return again?.keyVersion === current.keyVersion;
}

/** Of the object only its purpose is taken: that is bound by the wrapping, a changed one opens nothing. */
function contextOf(
  { dekId }: KeyGeneration,
  wrapped: WrappedDataKey,
  { instance }: Part,
): KeyContext {
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
