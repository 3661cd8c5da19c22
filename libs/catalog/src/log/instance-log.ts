import {
  instanceCheckpointKey,
  instanceLogKey,
  instancePrefix,
  instanceRecordKey,
} from '@tidemark/archive';
import {
  bytesOf,
  CatalogError,
  IntegrityError,
  TidemarkError,
  type Clock,
  type Random,
} from '@tidemark/core';
import type { InstanceEvent } from '../model/instance-events.ts';
import {
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceState,
} from '../model/instance-state.ts';
import { createOnce } from './create-once.ts';
import { encodeInstanceCheckpoint, INSTANCE_CHECKPOINT_EVERY } from './instance-checkpoint.ts';
import {
  decodeInstanceEntry,
  encodeInstanceEntry,
  encodeInstanceRecord,
  type InstanceLogEntry,
  type InstanceRecord,
} from './instance-codec.ts';
import { isInstanceCheckpointSeq, readInstanceFold } from './instance-fold.ts';
import { readInstanceRecord, type InstanceLogSource } from './instance-log-reader.ts';
import { jitter, type RetryLimits } from './retry.ts';
import { Turns } from './turns.ts';

/** How an instance log is opened. */
export interface InstanceLogOptions extends InstanceLogSource {
  readonly clock: Clock;
  readonly random: Random;
  readonly retry?: RetryLimits;
  /** A fold to read on from, as a catalog knows it; default: the beginning. */
  readonly from?: InstanceState;
}

/** Times that an append gives way to another author. */
const REBASE_MAX = 32;
const REBASE_PAUSE_MS = 50;
/** A checkpoint that should have been written before so many entries was not. */
const LATE_ENTRIES = 2 * INSTANCE_CHECKPOINT_EVERY;

/**
 * Puts a new instance on record and begins its log.
 *
 * Safe to repeat with the same arguments: what is there already stays.
 * @throws CatalogError `TM_EXISTS` when the id belongs to another instance; StoreError.
 */
export async function createInstance(
  options: InstanceLogOptions & { readonly name: string; readonly createdMs: number },
): Promise<InstanceLog> {
  const { store, iid, logKey, name, createdMs, clock, random, retry, signal } = options;
  const record: InstanceRecord = { iid, name, format: 1, createdMs };
  const bytes = encodeInstanceRecord(record, logKey);
  const ports = { clock, random, limits: retry, signal };
  const other = await createOnce(store, { key: instanceRecordKey(iid), bytes }, ports);
  if (other !== null) {
    const context = { iid };
    throw new CatalogError('TM_EXISTS', 'another instance has this id', { context });
  }
  return openBegun(options, record);
}

/**
 * Opens the log of an instance that is on record. Where whoever put it there ended before its log began it
 * is begun now.
 * @throws IntegrityError `TM_LOG_GAP` when the log is gone that other objects speak of; as
 *   `readInstanceRecord` and `openInstanceLog`.
 */
export async function beginInstanceLog(options: InstanceLogOptions): Promise<InstanceLog> {
  const record = await readInstanceRecord(options);
  const log = await openInstanceLog({ ...options, keyProven: true });
  if (log.state.iid !== null) return log;
  await refuseLostLog(options);
  return openBegun(options, record);
}

/** What was said in a log that is lost would not be said in a new one. */
async function refuseLostLog({ store, iid, signal }: InstanceLogOptions): Promise<void> {
  const record = instanceRecordKey(iid);
  const listed = store.list(instancePrefix(iid), { first: 2, ...(signal && { signal }) });
  for await (const batch of listed) {
    const other = batch.find(({ key }) => key !== record);
    if (other === undefined) continue;
    const object = instanceLogKey(iid, 0);
    throw new IntegrityError('TM_LOG_GAP', `${object} is missing, ${other.key} is there`, {
      context: { iid, seq: 0, later: other.key, object },
      hint: 'the store has lost objects; restore them from a copy of the store',
    });
  }
}

async function openBegun(
  options: InstanceLogOptions,
  { iid, name, createdMs }: InstanceRecord,
): Promise<InstanceLog> {
  const log = await openInstanceLog({ ...options, keyProven: true });
  await log.append((state) =>
    state.iid === null ? { type: 'InstanceCreated', iid, name, atMs: createdMs } : null,
  );
  return log;
}

/**
 * Opens an instance log and reads it to its end.
 *
 * @throws As `readInstanceLog`.
 */
export async function openInstanceLog(options: InstanceLogOptions): Promise<InstanceLog> {
  const log = new InstanceLog(options);
  await log.catchUp();
  return log;
}

/**
 * What is forgotten cannot be taken back, a tombstone can. Logs of earlier releases may hold it: only a
 * new entry is refused.
 */
function refuseHasty({ iid, expiry }: InstanceState, { type }: InstanceEvent): void {
  if (type !== 'BackupsForgotten' || expiry.tombstone?.begun !== false) return;
  throw new CatalogError('TM_LOG_STATE', `${type} may not follow: a tombstone stands`, {
    context: { iid, tombstone: expiry.tombstone.tombstone },
  });
}

/** An instance log: any number of authors append, each to the state it has seen. */
export class InstanceLog {
  readonly #options: InstanceLogOptions;
  readonly #author: string;
  readonly #turns = new Turns();
  #state: InstanceState;
  /** Entries that were read or written since the newest checkpoint that is known. */
  #uncovered = 0;

  constructor(options: InstanceLogOptions) {
    this.#options = options;
    this.#author = options.random.bytes(16).toString('hex');
    this.#state = options.from ?? EMPTY_INSTANCE_STATE;
  }

  /** The fold of every entry read so far. */
  get state(): InstanceState {
    return this.#state;
  }

  /** Reads what others have appended. */
  async catchUp(): Promise<void> {
    await this.#turns.run(async () => {
      await this.#catchUp();
    });
  }

  /**
   * Appends what `choose` makes of the newest state; where another author was faster, `choose` is
   * asked again.
   *
   * @param choose - The event, or `null` when nothing is left to say. May throw to refuse.
   * @returns Sequence number of the entry, or `null`.
   * @throws CatalogError `TM_LOG_STATE` when the event may not follow the state, `TM_LOG_CONFLICT`
   *   after 32 faster authors; StoreError `TM_STORE_IO`: the outcome is unknown.
   */
  async append(choose: (state: InstanceState) => InstanceEvent | null): Promise<number | null> {
    return this.#turns.run(async () => this.#append(choose));
  }

  async #append(choose: (state: InstanceState) => InstanceEvent | null): Promise<number | null> {
    const { store, iid, logKey, clock, random, retry, signal } = this.#options;
    for (let attempt = 1; attempt <= REBASE_MAX; attempt++) {
      await this.#catchUp();
      const chosen = choose(this.#state);
      if (chosen === null) return null;
      const event = decideInstance(this.#state, chosen);
      refuseHasty(this.#state, event);
      const seq = this.#state.seq + 1;
      const predecessor = this.#state.digest;
      const author = this.#author;
      const bytes = encodeInstanceEntry({ seq, iid, author, event, predecessor, logKey });
      const ports = { clock, random, limits: retry, signal };
      const taken = await createOnce(store, { key: instanceLogKey(iid, seq), bytes }, ports);
      if (taken === null) {
        const expected = { iid, seq, predecessor, logKey, keyProven: true };
        this.#apply(decodeInstanceEntry(bytes, expected));
        await this.#putCheckpoint();
        return seq;
      }
      await clock.sleep(jitter(random, REBASE_PAUSE_MS * attempt), signal);
    }
    throw new CatalogError('TM_LOG_CONFLICT', `${REBASE_MAX} other authors were faster`, {
      context: { iid, attempts: REBASE_MAX },
      hint: 'try again',
    });
  }

  async #catchUp(): Promise<void> {
    for await (const step of readInstanceFold(this.#options, this.#state)) {
      if ('fold' in step) [this.#state, this.#uncovered] = [step.fold, 0];
      else for (const entry of step.entries) this.#apply(entry);
    }
  }

  #apply({ event, seq, digest }: InstanceLogEntry): void {
    this.#state = evolveInstance(this.#state, event, seq, digest);
    this.#uncovered += 1;
  }

  /**
   * A checkpoint saves reading; the log stays right without it. Where one was not written, or never
   * was, whoever had to read that much writes one behind its next entry.
   */
  async #putCheckpoint(): Promise<void> {
    const { store, iid, logKey, signal } = this.#options;
    const state = this.#state;
    const isLate = this.#uncovered >= LATE_ENTRIES;
    if (!isLate && !isInstanceCheckpointSeq(state.seq)) return;
    this.#uncovered = 0;
    try {
      const bytes = encodeInstanceCheckpoint(iid, state, logKey);
      const key = instanceCheckpointKey(iid, state.seq);
      await store.putIfAbsent(key, bytesOf(bytes), signal === undefined ? {} : { signal });
    } catch (cause) {
      if (!(cause instanceof TidemarkError) && signal?.aborted !== true) throw cause;
    }
  }
}
