import { CatalogError, IntegrityError, type TidemarkError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { LogEntry } from '../log/entry-codec.ts';
import type { InstanceLogEntry } from '../log/instance-codec.ts';
import { readInstanceFold, refuseLostEnd, type FoldStep } from '../log/instance-fold.ts';
import {
  instanceDigestAt,
  readInstanceLog,
  readInstanceRecord,
  type InstanceLogSource,
} from '../log/instance-log-reader.ts';
import {
  entryDigestAt,
  findLogStart,
  listCheckpoints,
  logGap,
  newestWholeFold,
  readWriterLog,
  wholeFoldAt,
  type WholeFold,
  type WriterLogSource,
} from '../log/writer-log-reader.ts';
import { writerCheckpointKey } from '@tidemark/archive';
import { CHECKPOINT_EVERY } from '../model/kept-rows.ts';
import type { InstanceState } from '../model/instance-state.ts';
import type { WriterState } from '../model/writer-state.ts';
import type { HiddenTable } from './hidden-table.ts';
import { replacedInstance, type InstanceTable } from './instance-table.ts';
import type { Statements } from './statements.ts';
import { replacedWriter, type WriterTable } from './writer-table.ts';

/** What a sync reads. */
export interface SyncOptions {
  readonly store: ObjectStore;
  /** Instances to bring up to date, by id. */
  readonly instances: readonly string[];
  /** The log key of an instance, as `KeyProvider.logKey`. */
  readonly logKey: (iid: string) => Promise<LogKey>;
  /** Read every entry, also those that a checkpoint stands for. Default false. */
  readonly everyEntry?: boolean;
  readonly signal?: AbortSignal;
}

/** The tables that a sync writes. */
export interface SyncTables {
  readonly statements: Statements;
  readonly instances: InstanceTable;
  readonly writers: WriterTable;
  readonly hidden: HiddenTable;
}

/** Entries that go into one transaction. */
const TRANSACTION_ENTRIES = 512;

/** Times that a log is read again because another process has rebuilt the catalog meanwhile. */
const RESTARTS_MAX = 5;

/**
 * Brings the projection of one instance up to date.
 *
 * The last entry known is compared with the store first, so that a store that was replaced or set
 * back is noticed also when nothing was written since.
 * @returns How many entries were applied.
 */
export async function syncInstance(
  tables: SyncTables,
  iid: string,
  options: SyncOptions,
): Promise<number> {
  const { store, signal } = options;
  const logKey = await options.logKey(iid);
  const source: InstanceLogSource = { store, iid, logKey, ...(signal && { signal }) };
  const progress: Progress = { applied: 0, everyEntry: options.everyEntry ?? false };
  for (let attempt = 1; attempt <= RESTARTS_MAX; attempt++) {
    if (await syncOnce(tables, source, progress)) return progress.applied;
  }
  throw new CatalogError('TM_BUSY', 'the catalog was rebuilt while it was brought up to date', {
    context: { iid, attempts: RESTARTS_MAX },
    hint: 'try again',
  });
}

interface Progress {
  applied: number;
  readonly everyEntry: boolean;
}

/** False when another process has emptied the tables meanwhile: everything is to be read again. */
async function syncOnce(
  tables: SyncTables,
  source: InstanceLogSource,
  progress: Progress,
): Promise<boolean> {
  if (!(await syncInstanceLog(tables, source, progress))) return false;
  if (tables.instances.state(source.iid).recycle?.erasedMs != null) {
    tables.statements.exclusively(() => tables.writers.forget(source.iid));
  }
  for (const { shard, writer } of tables.instances.state(source.iid).writers) {
    const log: WriterLogSource = { ...source, keyProven: true, shard, writer };
    if (!(await syncWriterLog(tables, log, progress))) return false;
  }
  tables.hidden.apply(source.iid, tables.instances.state(source.iid));
  return true;
}

async function syncInstanceLog(
  tables: SyncTables,
  source: InstanceLogSource,
  progress: Progress,
): Promise<boolean> {
  const { iid } = source;
  const known = tables.instances.state(iid);
  // The record is the first thing that a key ring must open.
  if (known.seq < 0) await readInstanceRecord(source);
  else {
    const digest = await digestNow(source, known.seq);
    if (digest !== known.digest) throw replacedInstance(iid, known, digest);
  }
  const endCheck = known.seq < 0 ? 'list' : 'probe';
  const proven = { ...source, keyProven: true };
  const apply = (entries: readonly InstanceLogEntry[]): number | null =>
    tables.statements.exclusively(() => tables.instances.apply(iid, entries));
  if (progress.everyEntry) {
    // Before anything is applied: a catalog that has the rest would ask no more.
    await refuseLostEnd(proven, known.seq);
    return applyAll(readInstanceLog(proven, { after: known, endCheck }), progress, apply);
  }
  const adopt = (fold: InstanceState): void =>
    tables.statements.exclusively(() => tables.instances.adopt(iid, fold));
  const batches = entriesOf(readInstanceFold(proven, known, endCheck), adopt);
  return applyAll(batches, progress, apply);
}

/** What is read of a log for its fold; null where a checkpoint takes the place of all before it. */
async function* entriesOf(
  steps: AsyncIterable<FoldStep>,
  adopt: (fold: InstanceState) => void,
): AsyncGenerator<readonly InstanceLogEntry[] | null, void, undefined> {
  for await (const step of steps) {
    if ('entries' in step) {
      yield step.entries;
      continue;
    }
    yield null;
    adopt(step.fold);
  }
}

/** The digest of an entry known here. A log key that opens nothing is that of another key ring. */
async function digestNow(source: InstanceLogSource, seq: number): Promise<string | null> {
  try {
    return await instanceDigestAt(source, seq);
  } catch (error) {
    const namesOtherKey = error instanceof IntegrityError && 'keyId' in error.context;
    if (namesOtherKey) await readInstanceRecord(source);
    throw error;
  }
}

async function syncWriterLog(
  tables: SyncTables,
  source: WriterLogSource,
  progress: Progress,
): Promise<boolean> {
  const known = await anchor(tables, source, progress.everyEntry);
  const after = known ?? tables.writers.stateOf(source);
  const batches = readWriterLog(source, { after, endCheck: known === null ? 'list' : 'probe' });
  return applyAll(batches, progress, (entries: readonly LogEntry[]) =>
    tables.statements.exclusively(() => tables.writers.apply(source, entries)),
  );
}

/**
 * Makes sure that the writer's row stands on an entry of the store, and not far behind its end.
 *
 * @returns The fold to go on from; `null` when the row was begun now.
 * @throws IntegrityError `TM_LOG_CHAIN` when the store holds another log than the one known; as
 *   `startOf`.
 */
async function anchor(
  tables: SyncTables,
  source: WriterLogSource,
  everyEntry: boolean,
): Promise<WriterState | null> {
  const known = tables.writers.find(source)?.state;
  if (known !== undefined && known.seq >= 0) {
    const digest = await entryDigestAt(source, known.seq);
    if (digest !== null && digest !== known.digest) throw replacedWriter(source, known, digest);
    const isBehind = !everyEntry && digest !== null && (await isFarBehind(source, known));
    if (digest !== null && !isBehind) return known;
    const newest = isBehind ? await newestWholeFold(source) : null;
    if (newest !== null && newest.state.seq > known.seq) restart(tables, source, newest);
    if (isBehind) return tables.writers.stateOf(source);
  }
  const start = await startOf(tables, source, everyEntry);
  // Retention may have removed what this catalog knew last; what it kept must lie ahead.
  if (known !== undefined && known.seq >= 0 && start.state.seq < known.seq) {
    throw replacedWriter(source, known, null);
  }
  restart(tables, source, start);
  return null;
}

/** Whether two checkpoints were written behind an entry: to read the newest one is less work. */
async function isFarBehind(source: WriterLogSource, { seq }: WriterState): Promise<boolean> {
  const second = (Math.floor(seq / CHECKPOINT_EVERY) + 2) * CHECKPOINT_EVERY;
  const { store, iid, shard, writer } = source;
  return (await store.head(writerCheckpointKey(iid, shard, writer, second))) !== null;
}

/**
 * Where to begin: behind what checkpoints stand for, or with the oldest entry that is there.
 *
 * @throws IntegrityError `TM_LOG_GAP` when entries are gone and no checkpoint tells what they said:
 *   a catalog without them would take kept objects for ones that no log names.
 */
async function startOf(
  tables: SyncTables,
  source: WriterLogSource,
  everyEntry: boolean,
): Promise<WholeFold> {
  const newest = everyEntry ? null : await newestWholeFold(source);
  if (newest !== null) return newest;
  const { state, rows, first, damaged } = await findLogStart(source);
  const { seq } = state;
  if (seq < 0) {
    const checkpoint = first === null ? (await listCheckpoints(source)).at(-1) : undefined;
    if (checkpoint === undefined) return { state, rows: [] };
    throw unaccounted(source, checkpoint);
  }
  const whole = await wholeFoldAt(source, seq);
  if (whole !== null) return whole;
  // One that kept no rows stands for a log that was cut there, or further on: nothing is kept of it.
  const { tombstone } = tables.instances.state(source.iid).expiry;
  const cut = tombstone?.cuts.find(({ writer }) => writer === source.writer)?.seq ?? -1;
  const isCut = seq + 1 === first || (tombstone?.begun === true && cut >= seq);
  if (rows.base === seq && isCut) return { state, rows: [rows] };
  throw unaccounted(source, seq, damaged);
}

function unaccounted(
  source: WriterLogSource,
  seq: number,
  damaged: readonly string[] = [],
): IntegrityError {
  const { iid, shard, writer } = source;
  const key = damaged[0] ?? writerCheckpointKey(iid, shard, writer, seq);
  return logGap(
    `entries of the log are gone, and ${key}, or one that it builds on, does not tell what they said`,
    { iid, shard, writer, seq, key },
  );
}

/** Unless another process was faster. */
function restart(tables: SyncTables, source: WriterLogSource, start: WholeFold): void {
  const { state, rows } = start;
  tables.statements.exclusively(() => {
    const now = tables.writers.find(source)?.state.seq ?? -1;
    if (now < 0 || now < state.seq) tables.writers.restart(source, state, rows);
  });
}

/** Gathers entries into transactions; false when a batch could not be applied. */
async function applyAll<E>(
  batches: AsyncIterable<readonly E[] | null>,
  progress: Progress,
  apply: (entries: readonly E[]) => number | null,
): Promise<boolean> {
  let waiting: E[] = [];
  const flush = (): boolean => {
    const count = waiting.length === 0 ? 0 : apply(waiting);
    waiting = [];
    progress.applied += count ?? 0;
    return count !== null;
  };
  for await (const batch of batches) {
    if (batch === null) waiting = [];
    else waiting.push(...batch);
    if (waiting.length >= TRANSACTION_ENTRIES && !flush()) return false;
  }
  return flush();
}

/** Runs work for each instance; the first error is thrown once all had their turn. */
export async function forEachInstance(
  instances: readonly string[],
  work: (iid: string) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  for (const iid of instances) {
    try {
      await work(iid);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0] as TidemarkError;
}
