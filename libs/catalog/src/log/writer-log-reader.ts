import {
  parseObjectKey,
  writerCheckpointKey,
  writerCheckpointPrefix,
  writerLogKey,
  writerLogPrefix,
} from '@tidemark/archive';
import { IntegrityError, KeyError, nameObject, TidemarkError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { EMPTY_WRITER_STATE, type WriterState } from '../model/writer-state.ts';
import { NO_ROWS, type KeptRows } from '../model/kept-rows.ts';
import { CHECKPOINT_FORMAT, decodeCheckpoint, type Checkpoint } from './checkpoint-codec.ts';
import {
  BODY_LENGTH_BYTES,
  decodeLogEntry,
  ENTRY_FORMAT,
  type LogEntry,
  type LogPosition,
  type WriterLogId,
} from './entry-codec.ts';
import { readForward, type EndCheck } from './forward-reader.ts';
import { readHead } from './read-object.ts';

/** A writer log in a store. */
export interface WriterLogSource extends WriterLogId {
  readonly store: ObjectStore;
  readonly logKey: LogKey;
  /**
   * Whether `logKey` has opened something of this instance (its record, its log). Then an entry
   * with another key id is damage, not a wrong key ring. Default false.
   */
  readonly keyProven?: boolean;
  readonly signal?: AbortSignal;
}

/** A fold to go on from, and what had to be passed over to get it. */
export interface LogStart extends Checkpoint {
  /** Keys of checkpoints that could not be used. Older ones, or the log itself, took their place. */
  readonly damaged: readonly string[];
}

/** Damaged checkpoints that are passed over before giving up. */
const CHECKPOINT_TRIES_MAX = 8;

const LOG_EMPTY: Checkpoint = { state: EMPTY_WRITER_STATE, rows: NO_ROWS };

/** The position before the first entry. */
export const LOG_BEGIN: LogPosition = { seq: -1, digest: EMPTY_WRITER_STATE.digest };

/**
 * Reads a writer log forward to its end: every entry's authenticator, place and chain is verified;
 * bodies are neither fetched nor opened.
 *
 * @param options - `after`: the last entry known; default the beginning. `endCheck`: `list` for a
 *   rebuild or a verification, default `probe`.
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH`, `TM_LOG_CHAIN`, `TM_LOG_GAP`,
 *   KeyError `TM_KEY_MISSING`, StoreError.
 */
export function readWriterLog(
  source: WriterLogSource,
  options: { readonly after?: LogPosition; readonly endCheck?: EndCheck } = {},
): AsyncGenerator<readonly LogEntry[], void, undefined> {
  const { store, logKey, signal, iid, shard, writer } = source;
  const after = options.after ?? LOG_BEGIN;
  const log = { iid, shard, writer };
  // Whoever names an entry has verified it: its key was the right one.
  const keyProven = source.keyProven ?? after.seq >= 0;
  return readForward<LogEntry>(
    {
      store,
      format: ENTRY_FORMAT,
      // One more, to see that nothing follows an entry without a body.
      extraBytes: BODY_LENGTH_BYTES + 1,
      keyOf: (seq) => writerLogKey(iid, shard, writer, seq),
      decode: (bytes, seq, predecessor) =>
        decodeLogEntry(bytes, {
          log,
          seq,
          predecessor,
          logKey,
          keyProven: keyProven || seq > 0,
          whole: false,
        }),
      context: { ...log },
      signal,
    },
    after,
    options.endCheck ?? 'probe',
  );
}

/**
 * The digest of one entry as it lies in the store now; `null` when it is not there.
 *
 * Only its own authenticator and place are verified: whoever asks knows the digest it should have.
 */
export async function entryDigestAt(source: WriterLogSource, seq: number): Promise<string | null> {
  const { store, logKey, signal, iid, shard, writer } = source;
  const wanted = { format: ENTRY_FORMAT, extraBytes: BODY_LENGTH_BYTES + 1, signal };
  const key = writerLogKey(iid, shard, writer, seq);
  const bytes = await readHead(store, key, wanted);
  if (bytes === null) return null;
  const log = { iid, shard, writer };
  const expected = { log, seq, predecessor: null, logKey, keyProven: true, whole: false };
  try {
    return decodeLogEntry(bytes, expected).digest;
  } catch (cause) {
    throw nameObject(cause, key);
  }
}

/** Sequence numbers of the checkpoints in the store, ascending. One LIST per 1,000 of them. */
export async function listCheckpoints(source: WriterLogSource): Promise<readonly number[]> {
  const { store, iid, shard, writer, signal } = source;
  const found: number[] = [];
  const options = signal === undefined ? {} : { signal };
  for await (const batch of store.list(writerCheckpointPrefix(iid, shard, writer), options)) {
    for (const { key } of batch) {
      const parts = parseObjectKey(key);
      if (parts?.kind === 'checkpoint') found.push(Number(parts.seq));
    }
  }
  return found;
}

/**
 * Reads one checkpoint.
 *
 * @returns `null` when it is not there.
 */
export async function readCheckpoint(
  source: WriterLogSource,
  seq: number,
): Promise<Checkpoint | null> {
  const { store, logKey, signal, iid, shard, writer } = source;
  const wanted = { format: CHECKPOINT_FORMAT, extraBytes: 1, signal };
  const key = writerCheckpointKey(iid, shard, writer, seq);
  const bytes = await readHead(store, key, wanted);
  if (bytes === null) return null;
  const keyProven = source.keyProven ?? false;
  try {
    return decodeCheckpoint(bytes, { log: { iid, shard, writer }, seq, logKey, keyProven });
  } catch (cause) {
    throw nameObject(cause, key);
  }
}

/**
 * The newest fold that a checkpoint holds, for start-up. A damaged checkpoint is passed over and
 * reported: an older one, and the chain from there, say the same.
 *
 * @throws KeyError `TM_KEY_MISSING`, StoreError.
 */
export async function newestStart(source: WriterLogSource): Promise<LogStart> {
  const seqs = await listCheckpoints(source);
  return firstUsable(source, seqs.slice(-CHECKPOINT_TRIES_MAX).reverse());
}

async function firstUsable(source: WriterLogSource, seqs: readonly number[]): Promise<LogStart> {
  const { iid, shard, writer } = source;
  const damaged: string[] = [];
  for (const seq of seqs) {
    try {
      const checkpoint = await readCheckpoint(source, seq);
      if (checkpoint !== null) return { ...checkpoint, damaged };
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push(writerCheckpointKey(iid, shard, writer, seq));
    }
  }
  return { ...LOG_EMPTY, damaged };
}

/** A fold with everything that is kept of the log before it. */
export interface WholeFold {
  readonly state: WriterState;
  /** Of the checkpoint and of each one that it builds on, oldest first. */
  readonly rows: readonly KeptRows[];
}

/**
 * The newest fold with all that its checkpoints keep of the log: who has it need not read the
 * entries up to there. One LIST, and one GET for every 2,048 rows or so.
 *
 * @returns `null` when checkpoints do not tell it all: none is there, the newest is damaged, or some
 *   are of a release that kept no rows in them.
 * @throws KeyError `TM_KEY_MISSING`, StoreError.
 */
export async function newestWholeFold(source: WriterLogSource): Promise<WholeFold | null> {
  const newest = (await listCheckpoints(source)).at(-1);
  return newest === undefined ? null : wholeFoldAt(source, newest);
}

/**
 * As `newestWholeFold`, of one checkpoint. One that is damaged or lost never counts as taken by
 * retention: what it held may be kept history.
 */
export async function wholeFoldAt(source: WriterLogSource, seq: number): Promise<WholeFold | null> {
  const rows: KeptRows[] = [];
  let found: WriterState | null = null;
  for (let at: number | null = seq; at !== null;) {
    const checkpoint: Checkpoint | null = await usableCheckpoint(source, at);
    if (checkpoint === null) return null;
    if (checkpoint.rows.base === at) {
      // It kept no rows. Retention has cut the log there: nothing before it was needed.
      if (found !== null && (await areGone(source, at))) break;
      return null;
    }
    found ??= checkpoint.state;
    rows.unshift(checkpoint.rows);
    at = checkpoint.rows.base;
  }
  return found === null ? null : { state: found, rows };
}

/**
 * Numbers of a checkpoint and of all that it builds on, ascending: none of them may go while it is
 * needed.
 *
 * @returns `null` when one of them is damaged or lost.
 * @throws KeyError `TM_KEY_MISSING`, StoreError.
 */
export async function checkpointChain(
  source: WriterLogSource,
  seq: number,
): Promise<readonly number[] | null> {
  const chain: number[] = [];
  for (let at: number | null = seq; at !== null;) {
    const checkpoint: Checkpoint | null = await usableCheckpoint(source, at);
    if (checkpoint === null) return null;
    chain.unshift(at);
    at = checkpoint.rows.base === at ? null : checkpoint.rows.base;
  }
  return chain;
}

/** Whether the entry of a number is gone, and all before it. */
async function areGone(source: WriterLogSource, seq: number): Promise<boolean> {
  const first = await firstEntry(source);
  return first !== null && first > seq;
}

async function usableCheckpoint(source: WriterLogSource, seq: number): Promise<Checkpoint | null> {
  try {
    return await readCheckpoint(source, seq);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return null;
  }
}

/** Where the entries of a log that are still there begin. */
export interface FoundLogStart extends LogStart {
  /** Number of the oldest entry; null when there is none. */
  readonly first: number | null;
}

/**
 * The fold before the oldest entry that the store still holds, for a rebuild: the empty one, or
 * that of a checkpoint when retention has removed what lies below it.
 *
 * @throws IntegrityError `TM_LOG_GAP` when entries are missing and no checkpoint stands for them.
 */
export async function findLogStart(source: WriterLogSource): Promise<FoundLogStart> {
  const { iid, shard, writer } = source;
  const first = await firstEntry(source);
  if (first === null || first === 0) return { ...LOG_EMPTY, damaged: [], first };
  const seqs = await listCheckpoints(source);
  const usable = seqs.filter((seq) => seq >= first - 1);
  const start = await firstUsable(source, usable.slice(0, CHECKPOINT_TRIES_MAX));
  if (start.state.seq >= 0) return { ...start, first };
  throw logGap(
    `${writerLogKey(iid, shard, writer, 0)} is missing: entries 0 to ${first - 1} are not there`,
    { iid, shard, writer, seq: 0, later: writerLogKey(iid, shard, writer, first) },
  );
}

/** Sequence number of the oldest entry in the store; `null` for an empty log. */
async function firstEntry(source: WriterLogSource): Promise<number | null> {
  const { store, iid, shard, writer, signal } = source;
  const options = signal === undefined ? {} : { signal };
  for await (const batch of store.list(writerLogPrefix(iid, shard, writer), options)) {
    for (const { key } of batch) {
      const parts = parseObjectKey(key);
      if (parts?.kind === 'log') return Number(parts.seq);
    }
  }
  return null;
}

/** The error of a log that lacks what it was. */
export function logGap(
  message: string,
  context: Readonly<Record<string, string | number>>,
): IntegrityError {
  return new IntegrityError('TM_LOG_GAP', message, {
    context,
    hint: 'the store has lost objects; restore them from a copy of the store',
  });
}

function isDamage(error: unknown): boolean {
  return error instanceof TidemarkError && !(error instanceof KeyError) && error.exitCode === 14;
}
