import { writerCheckpointKey, writerLogKey } from '@tidemark/archive';
import { bytesOf, CatalogError, TidemarkError, type Clock, type Random } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { OwnerClaimed, WriterEvent } from '../model/events.ts';
import { withoutDatasetBytes } from '../model/wire/writer-event-shape.ts';
import { decideClaim, HEARTBEAT_MS } from '../model/writer-claim.ts';
import { decide, evolve } from '../model/writer-fold.ts';
import type { WriterState } from '../model/writer-state.ts';
import { isCheckpointSeq, keepRows, type KeptRows } from '../model/kept-rows.ts';
import { encodeCheckpoint } from './checkpoint-codec.ts';
import { createOnce } from './create-once.ts';
import {
  decodeLogEntry,
  encodeLogEntry,
  encodeWriterEvent,
  type LogEntry,
  type WriterLogId,
} from './entry-codec.ts';
import type { RetryLimits, RetryPorts } from './retry.ts';
import { Turns } from './turns.ts';
import {
  newestStart,
  readWriterLog,
  type LogStart,
  type WriterLogSource,
} from './writer-log-reader.ts';

/** How a writer log is opened. */
export interface WriterLogOptions extends WriterLogId {
  readonly store: ObjectStore;
  readonly logKey: LogKey;
  readonly clock: Clock;
  readonly random: Random;
  /** Whether the instance's record was opened with `logKey`; see `WriterLogSource`. */
  readonly keyProven?: boolean;
  readonly retry?: RetryLimits;
  readonly signal?: AbortSignal;
  /** What this process has just read of it, to read on from. Default: the newest checkpoint. */
  readonly from?: LogStart;
}

/** Who claims the log. */
export interface ClaimOptions {
  /** Id of the spool. */
  readonly ownerId: string;
  readonly takeOver: boolean;
  /** Distance of heartbeats in milliseconds, default 20 s; after three an owner counts as gone. */
  readonly heartbeatMs?: number;
}

/** Places in the log that a claim may lose to other entries. */
const CLAIM_TRIES_MAX = 16;

/** Checkpoints in memory that wait to be put: more only while a log is read from its beginning. */
const CHECKPOINTS_WAITING_MAX = 64;

/** Events that are remembered because their entry was completed on behalf of a later append. */
const SETTLED_MAX = 64;

/**
 * Opens a writer log: the newest checkpoint, then forward to the end. Nothing is written.
 *
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH`, `TM_LOG_CHAIN`, `TM_LOG_GAP`,
 *   KeyError `TM_KEY_MISSING`, CatalogError `TM_LOG_STATE`, StoreError.
 */
export async function openWriterLog(options: WriterLogOptions): Promise<WriterLog> {
  const start = options.from ?? (await newestStart(options));
  const log = new WriterLog(options, start);
  await log.catchUp();
  return log;
}

interface PendingEntry {
  /** Canonical JSON of the event. */
  readonly text: string;
  readonly bytes: Buffer;
  readonly entry: LogEntry;
}

/**
 * A writer log that this process reads and, once it has claimed it, writes.
 *
 * Modes: reader (after opening), owner (after `claim`), stopped (another owner has the log, or it
 * holds an entry that is not ours; every later call throws that error). One entry is on its way at
 * a time; calls take turns. When an append ends in a retryable error its entry may or may not be in
 * the log: call it again with the same event, also after other appends, and it is there once.
 */
export class WriterLog {
  readonly #options: WriterLogOptions;
  readonly #turns = new Turns();
  /** Events whose entry was completed by a later call, with their sequence number. */
  readonly #settled = new Map<string, number>();
  #state: WriterState;
  #rows: KeptRows;
  #damaged: readonly string[];
  #generation: number | null = null;
  #stopped: TidemarkError | null = null;
  #pending: PendingEntry | null = null;
  /** Not put yet, oldest first: a later one may build on an earlier one. */
  #checkpoints: { readonly key: string; readonly bytes: Buffer }[] = [];

  constructor(options: WriterLogOptions, start: LogStart) {
    this.#options = options;
    this.#state = start.state;
    this.#rows = start.rows;
    this.#damaged = start.damaged;
  }

  /** The fold of every entry that is known to be durable. */
  get state(): WriterState {
    return this.#state;
  }

  /**
   * Objects and older timelines that the log names, as the next checkpoint will hold them. Those that
   * stand in its base are left out.
   */
  get rows(): KeptRows {
    return this.#rows;
  }

  /** For another reader to read on from; null where that one would have to write checkpoints before. */
  get readSoFar(): LogStart | null {
    if (this.#checkpoints.length > 0) return null;
    return { state: this.#state, rows: this.#rows, damaged: this.#damaged };
  }

  /** The generation that this process writes with; `null` before `claim`. */
  get generation(): number | null {
    return this.#generation;
  }

  /** Checkpoints that could not be used at opening; worth an alarm. */
  get damagedCheckpoints(): readonly string[] {
    return this.#damaged;
  }

  /** Why nothing can be written any more; `null` while it can. */
  get stopped(): TidemarkError | null {
    return this.#stopped;
  }

  /**
   * Reads entries that others have written since. An owner need not: it writes them all.
   *
   * @throws What `openWriterLog` throws.
   */
  async catchUp(): Promise<void> {
    await this.#turns.run(async () => {
      if (this.#generation === null) await this.#catchUp();
    });
  }

  /**
   * Makes this process the owner with a new generation. From then on every append of an earlier
   * generation loses. The state may have moved on since opening.
   *
   * @throws CatalogError `TM_LOG_OWNER` while another owner shows life and `takeOver` is false, or
   *   when another process claims the log at the same time; StoreError `TM_STORE_IO`: call again.
   */
  async claim(options: ClaimOptions): Promise<void> {
    await this.#turns.run(async () => {
      if (this.#stopped !== null) throw this.#stopped;
      if (this.#pending !== null) await this.#settle(this.#pending);
      await this.#claim(options);
      await this.#putCheckpoint();
    });
  }

  /**
   * Appends one event.
   *
   * @param body - The sealed container, when `event.object.key` is `null`.
   * @returns Sequence number of the entry.
   * @throws CatalogError `TM_LOG_STATE` when the event may not follow the state, `TM_LOG_OWNER` or
   *   `TM_LOG_CONFLICT` when the log is lost; StoreError `TM_STORE_IO` when the outcome is unknown.
   */
  async append(event: WriterEvent, body?: Uint8Array): Promise<number> {
    const clean = withoutDatasetBytes(event);
    const text = encodeWriterEvent(clean).toString('utf8');
    return this.#turns.run(async () => this.#append(clean, text, body));
  }

  /** Appends `Released`: the next owner need not wait. */
  async release(): Promise<void> {
    const generation = this.#owned();
    await this.append({ type: 'Released', generation, atMs: this.#options.clock.nowMs() });
  }

  async #append(event: WriterEvent, text: string, body?: Uint8Array): Promise<number> {
    if (this.#stopped !== null) throw this.#stopped;
    const generation = this.#owned();
    if (this.#pending !== null && this.#pending.text !== text) {
      const { entry, text: settled } = this.#pending;
      await this.#settle(this.#pending);
      this.#remember(settled, entry.seq);
    }
    const known = this.#settled.get(text);
    if (known !== undefined) {
      this.#settled.delete(text);
      return known;
    }
    if (this.#pending === null) {
      this.#refuseDeposed(generation);
      decide(this.#state, event);
      this.#pending = { text, ...this.#encode(event, generation, body) };
    }
    const { entry } = this.#pending;
    await this.#settle(this.#pending);
    await this.#putCheckpoint();
    return entry.seq;
  }

  /** Brings the entry on its way into the log; it stays pending while the outcome is unknown. */
  async #settle(pending: PendingEntry): Promise<void> {
    const taken = await this.#create(pending.entry.seq, pending.bytes);
    if (taken !== null) throw this.#stop(this.#lossOf(taken, pending.entry));
    this.#pending = null;
    this.#apply(pending.entry);
  }

  async #claim(options: ClaimOptions): Promise<void> {
    const { ownerId, takeOver, heartbeatMs = HEARTBEAT_MS } = options;
    let knownGeneration: number | null = null;
    for (let attempt = 1; attempt <= CLAIM_TRIES_MAX; attempt++) {
      await this.#catchUp();
      const { owner } = this.#state;
      knownGeneration ??= owner?.generation ?? 0;
      if (owner !== null && owner.generation > knownGeneration && owner.ownerId !== ownerId) {
        throw new CatalogError('TM_LOG_OWNER', 'another archiver has just claimed the log', {
          context: { ownerId: owner.ownerId, generation: owner.generation },
        });
      }
      const nowMs = this.#options.clock.nowMs();
      const event = decideClaim(this.#state, { ownerId, takeOver, heartbeatMs, nowMs });
      if (await this.#tryClaim(event)) return;
    }
    throw new CatalogError('TM_LOG_OWNER', 'another archiver keeps writing to the log', {
      context: { attempts: CLAIM_TRIES_MAX },
    });
  }

  async #tryClaim(event: OwnerClaimed): Promise<boolean> {
    const { bytes, entry } = this.#encode(event, event.generation);
    if ((await this.#create(entry.seq, bytes)) !== null) return false;
    this.#apply(entry);
    this.#generation = event.generation;
    return true;
  }

  async #catchUp(): Promise<void> {
    const source: WriterLogSource = this.#options;
    for await (const batch of readWriterLog(source, { after: this.#state })) {
      for (const entry of batch) this.#apply(entry);
    }
  }

  #apply(entry: LogEntry): void {
    const before = this.#state;
    this.#state = evolveEntry(before, entry);
    this.#rows = keepRows(this.#rows, before, this.#state, entry);
    if (isCheckpointSeq(entry.seq)) this.#noteCheckpoint(entry.seq);
  }

  #noteCheckpoint(seq: number): void {
    const { iid, shard, writer, logKey } = this.#options;
    const content = { state: this.#state, rows: this.#rows };
    try {
      const bytes = encodeCheckpoint({ iid, shard, writer }, content, logKey);
      this.#checkpoints.push({ key: writerCheckpointKey(iid, shard, writer, seq), bytes });
    } catch (error) {
      // The entries say the same.
      if (!(error instanceof TidemarkError)) throw error;
    }
    // Who reads a long log from its beginning finds those of its predecessors there, all but the last.
    this.#checkpoints.splice(0, this.#checkpoints.length - CHECKPOINTS_WAITING_MAX);
  }

  /** A checkpoint saves reading; the log stays right without it, and the next append tries again. */
  async #putCheckpoint(): Promise<void> {
    const { store, signal } = this.#options;
    const options = signal === undefined ? {} : { signal };
    try {
      for (let first = this.#checkpoints[0]; first !== undefined; first = this.#checkpoints[0]) {
        await store.putIfAbsent(first.key, bytesOf(first.bytes), options);
        this.#checkpoints.shift();
      }
    } catch (error) {
      if (!(error instanceof TidemarkError) && signal?.aborted !== true) throw error;
    }
  }

  #encode(
    event: WriterEvent,
    generation: number,
    body?: Uint8Array,
  ): { readonly bytes: Buffer; readonly entry: LogEntry } {
    const { iid, shard, writer, logKey } = this.#options;
    const { seq, digest } = this.#state;
    const log = { iid, shard, writer };
    return encodeLogEntry({
      log,
      seq: seq + 1,
      generation,
      event,
      predecessor: digest,
      logKey,
      body,
    });
  }

  async #create(seq: number, bytes: Buffer): Promise<Buffer | null> {
    const { store, iid, shard, writer, clock, random, retry, signal } = this.#options;
    const key = writerLogKey(iid, shard, writer, seq);
    const ports: RetryPorts = { clock, random, limits: retry, signal };
    return createOnce(store, { key, bytes }, ports);
  }

  /** Reads whose entry took the place of ours. */
  #lossOf(taken: Buffer, ours: LogEntry): TidemarkError {
    const { iid, shard, writer, logKey } = this.#options;
    const { seq, predecessor, generation } = ours;
    const log = { iid, shard, writer };
    let theirs: LogEntry;
    try {
      const expected = { log, seq, predecessor, logKey, keyProven: true, whole: true };
      theirs = decodeLogEntry(taken, expected);
    } catch (error) {
      if (error instanceof TidemarkError) return error;
      throw error;
    }
    const context = { ...log, seq, generation, otherGeneration: theirs.generation };
    if (theirs.generation > generation) {
      return new CatalogError('TM_LOG_OWNER', 'another archiver has taken the log over', {
        context,
        hint: 'only one archiver may capture a node; stop one of them',
      });
    }
    return new CatalogError('TM_LOG_CONFLICT', `entry ${seq} was written with other content`, {
      context,
      hint: 'two processes write as the same owner; stop one and start the other again',
    });
  }

  /** A claim that failed may have read past another owner's claim: nothing may be put behind it. */
  #refuseDeposed(generation: number): void {
    const owner = this.#state.owner?.generation ?? null;
    if (owner === generation) return;
    throw this.#stop(
      new CatalogError('TM_LOG_OWNER', 'another archiver has taken the log over', {
        context: { generation, otherGeneration: owner },
      }),
    );
  }

  #stop(error: TidemarkError): TidemarkError {
    this.#stopped = error;
    this.#pending = null;
    return error;
  }

  #owned(): number {
    if (this.#generation !== null) return this.#generation;
    throw new CatalogError('TM_LOG_STATE', 'a log is written only by its owner', {
      hint: 'claim it first',
    });
  }

  #remember(text: string, seq: number): void {
    this.#settled.set(text, seq);
    const [oldest] = this.#settled.keys();
    if (this.#settled.size > SETTLED_MAX && oldest !== undefined) this.#settled.delete(oldest);
  }
}

/**
 * The state after one more entry, its generation checked.
 *
 * @throws CatalogError `TM_LOG_STATE` when the entry may not follow.
 */
export function evolveEntry(state: WriterState, entry: LogEntry): WriterState {
  const next = evolve(state, entry.event, entry.seq, entry.digest);
  const owner = next.owner?.generation;
  if (entry.generation === owner) return next;
  throw new CatalogError(
    'TM_LOG_STATE',
    `entry ${entry.seq} was written by generation ${entry.generation}, the owner is ${String(owner)}`,
    { context: { seq: entry.seq, generation: entry.generation } },
  );
}
