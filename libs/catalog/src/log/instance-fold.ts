import {
  instanceCheckpointKey,
  instanceCheckpointPrefix,
  instanceLogKey,
  parseObjectKey,
} from '@tidemark/archive';
import { IntegrityError, nameObject, TidemarkError } from '@tidemark/core';
import {
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceState,
} from '../model/instance-state.ts';
import type { EndCheck } from './forward-reader.ts';
import {
  decodeInstanceCheckpoint,
  INSTANCE_CHECKPOINT_EVERY,
  INSTANCE_CHECKPOINT_FORMAT,
} from './instance-checkpoint.ts';
import type { InstanceLogEntry } from './instance-codec.ts';
import {
  instanceDigestAt,
  readInstanceLog,
  type InstanceLogSource,
} from './instance-log-reader.ts';
import { readHead } from './read-object.ts';

/** Entries that are read before a checkpoint is looked for: most logs end sooner. */
const LOOK_AFTER = 48;
/** A checkpoint that saves fewer entries is not worth its three requests. */
const WORTH_ENTRIES = 64;
/** Checkpoints that cannot be used and are passed over before the entries are read instead. */
const TRIES_MAX = 4;

/** What reading an instance log for its fold comes upon, in order. */
export type FoldStep =
  | { readonly entries: readonly InstanceLogEntry[] }
  /** A checkpoint: it stands for all entries up to it. */
  | { readonly fold: InstanceState };

/**
 * Reads an instance log forward to its end, for its fold alone: behind the first few dozen entries the
 * newest checkpoint stands for those up to it.
 * @param endCheck - With `list` a log that ends within the first few dozen entries is checked against its
 *   checkpoints too, for one request.
 * @throws As `readInstanceLog`; IntegrityError `TM_LOG_GAP` when the log ends before a checkpoint.
 */
export async function* readInstanceFold(
  source: InstanceLogSource,
  after: InstanceState,
  endCheck: EndCheck = 'probe',
): AsyncGenerator<FoldStep, void, undefined> {
  let at: { readonly seq: number; readonly digest: string } = after;
  for await (const entries of readInstanceLog(source, { after, endCheck })) {
    yield { entries };
    at = entries.at(-1) ?? at;
    if (at.seq - after.seq < LOOK_AFTER) continue;
    const fold = await newestCheckpoint({ ...source, keyProven: true }, at.seq + WORTH_ENTRIES);
    if (fold !== null) {
      yield { fold };
      at = fold;
    }
    break;
  }
  if (at.seq - after.seq < LOOK_AFTER) {
    if (endCheck === 'list') await refuseLostEnd({ ...source, keyProven: true }, at.seq);
    return;
  }
  for await (const entries of readInstanceLog(source, { after: at, endCheck })) yield { entries };
}

/**
 * Asks whether the store lost the end of an instance log: its checkpoints may be all that is left of it.
 * @param lastSeq - An entry that is there; -1 where none is known. No checkpoint is of the first entry.
 * @throws IntegrityError `TM_LOG_GAP` when one is of a later entry that is not there; StoreError.
 */
export async function refuseLostEnd(source: InstanceLogSource, lastSeq: number): Promise<void> {
  await newestCheckpoint(source, Math.max(lastSeq, 0));
}

/**
 * The fold of an instance log.
 * @throws As `readInstanceFold`.
 */
export async function readInstanceState(
  source: InstanceLogSource,
  after: InstanceState = EMPTY_INSTANCE_STATE,
): Promise<InstanceState> {
  let state = after;
  for await (const step of readInstanceFold(source, after)) {
    if ('fold' in step) state = step.fold;
    else
      for (const { event, seq, digest } of step.entries)
        state = evolveInstance(state, event, seq, digest);
  }
  return state;
}

/**
 * Reads one checkpoint of an instance log.
 * @returns `null` when it is not there, or holds the fold of another release.
 * @throws As `decodeInstanceCheckpoint`, naming the object; StoreError.
 */
export async function readInstanceCheckpoint(
  source: InstanceLogSource,
  seq: number,
): Promise<InstanceState | null> {
  const { store, iid, logKey, signal, keyProven = false } = source;
  const key = instanceCheckpointKey(iid, seq);
  const bytes = await readHead(store, key, {
    format: INSTANCE_CHECKPOINT_FORMAT,
    extraBytes: 1,
    signal,
  });
  if (bytes === null) return null;
  try {
    return decodeInstanceCheckpoint(bytes, { iid, seq, logKey, keyProven });
  } catch (cause) {
    throw nameObject(cause, key);
  }
}

/** Whether a checkpoint is written behind an entry. */
export function isInstanceCheckpointSeq(seq: number): boolean {
  return seq > 0 && seq % INSTANCE_CHECKPOINT_EVERY === 0;
}

/**
 * The newest checkpoint from a number on that can be used: one that is damaged, of another release or of
 * another history of the log is passed over, for the entries say the same.
 */
async function newestCheckpoint(
  source: InstanceLogSource,
  from: number,
): Promise<InstanceState | null> {
  const seqs = await checkpointsFrom(source, from);
  for (const seq of seqs.slice(-TRIES_MAX).reverse()) {
    const state = await usable(source, seq);
    if (state === null) continue;
    const digest = await instanceDigestAt(source, seq);
    if (digest === null) throw lostInstanceTail(source.iid, seq);
    if (digest === state.digest) return state;
  }
  return null;
}

async function checkpointsFrom(
  { store, iid, signal }: InstanceLogSource,
  from: number,
): Promise<readonly number[]> {
  const found: number[] = [];
  const after = instanceCheckpointKey(iid, from);
  const options = { after, ...(signal && { signal }) };
  try {
    for await (const batch of store.list(instanceCheckpointPrefix(iid), options)) {
      for (const { key } of batch) {
        const parts = parseObjectKey(key);
        if (parts?.kind === 'instance-checkpoint') found.push(Number(parts.seq));
      }
    }
  } catch (cause) {
    refuseUnlessLasting(cause); // whoever may not list reads the entries
    return [];
  }
  return found;
}

async function usable(source: InstanceLogSource, seq: number): Promise<InstanceState | null> {
  try {
    return await readInstanceCheckpoint(source, seq);
  } catch (cause) {
    refuseUnlessLasting(cause);
    return null;
  }
}

/** A fault that passes is told; of one that stays the entries are the way round. */
function refuseUnlessLasting(cause: unknown): void {
  if (!(cause instanceof TidemarkError) || cause.retryable) throw cause;
}

/** The fault of an instance log whose entry is missing that a checkpoint was made of: `TM_LOG_GAP`. */
export function lostInstanceTail(iid: string, seq: number): IntegrityError {
  const object = instanceLogKey(iid, seq);
  const later = instanceCheckpointKey(iid, seq);
  return new IntegrityError('TM_LOG_GAP', `${object} is missing, ${later} is there`, {
    context: { iid, seq, later, object },
    hint: 'the store has lost objects; restore them from a copy of the store',
  });
}
