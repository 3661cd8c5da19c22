import {
  eventMs,
  evolve,
  type SnapshotStored,
  type WriterEvent,
  type WriterState,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { followsLog } from '../capture/follows-log.ts';
import { putSpooled, readSpooled, type PutOptions, type SpooledEntry } from './put-spooled.ts';
import { retrying } from './retry.ts';
import { encodeSpoolNote } from './spool-note.ts';

/** Names of snapshots in the spool begin with this. */
export const SNAPSHOT_NAME = 'snapshot-';

/** What a backlog works with. */
export interface BacklogOptions extends PutOptions {
  readonly log: { readonly state: WriterState };
  /** An entry is in store and log. */
  readonly onDurable: (event: WriterEvent) => Promise<void>;
  /** Called once, with the first fault that a retry cannot mend. */
  readonly onFailed: (cause: unknown) => void;
}

/** How much waits for the store. */
export interface BacklogSize {
  readonly entries: number;
  /** Sealed bytes in the spool. */
  readonly bytes: number;
  /** Bytes of the command log that the waiting segments hold. */
  readonly logBytes: number;
  /** When the oldest entry was made, Unix milliseconds; null when none waits. */
  readonly oldestMs: number | null;
}

interface Waiting {
  readonly name: string;
  readonly atMs: number;
  readonly logBytes: number;
}

interface Waiter {
  readonly upTo: number;
  readonly resolve: () => void;
}

/**
 * What lies in the spool and is on its way into store and log: strictly one entry after the other,
 * in the order they were sealed. While the store is away it grows, up to the limit of the spool.
 *
 * Snapshots go their own way beside it, since they may be large; a new timeline is logged only
 * when the snapshots of the one before it are. In memory there is only the name of an entry.
 */
export class Backlog {
  readonly #options: BacklogOptions;
  readonly #entries: Waiting[] = [];
  /** Snapshots under way, by name. */
  readonly #snapshots = new Map<
    string,
    { readonly timeline: string; readonly done: Promise<void> }
  >();
  /** The log as it will be once all this is in it; null while nothing waits. */
  #ahead: WriterState | null = null;
  #draining: Promise<void> | null = null;
  #failed = false;
  #logBytes = 0;
  #added = 0;
  #durable = 0;
  #waiters: Waiter[] = [];

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** The fold of the log and of all that waits for it. */
  get state(): WriterState {
    return this.#ahead ?? this.#options.log.state;
  }

  /** Entries that wait, snapshots not among them. */
  get waiting(): number {
    return this.#entries.length;
  }

  /** Snapshots under way. */
  get snapshots(): number {
    return this.#snapshots.size;
  }

  get size(): BacklogSize {
    const { bytes } = this.#options.spool;
    const oldestMs = this.#entries[0]?.atMs ?? null;
    return { entries: this.waiting, bytes, logBytes: this.#logBytes, oldestMs };
  }

  /**
   * Takes an object that lies in the spool with its note.
   * @throws CatalogError `TM_LOG_STATE` when its event may not follow what waits.
   */
  add(name: string, event: WriterEvent): void {
    this.#take(name, event);
    this.#drainOn();
  }

  /**
   * Spools an event that names no object, and takes it.
   * @throws As `add`; the signal's reason.
   */
  async addEvent(event: WriterEvent): Promise<void> {
    const { spool } = this.#options;
    const name = spool.nextName();
    const note = encodeSpoolNote({ event, wrapped: null });
    await retrying(this.#options, () => spool.noteAlone(name, note));
    this.add(name, event);
  }

  /**
   * Puts and logs a snapshot that lies in the spool with its note.
   * @throws CatalogError `TM_LOG_STATE` when its timeline is over: it is taken out of the spool then.
   */
  async ship(name: string, event: SnapshotStored): Promise<void> {
    const state = this.state;
    if (state.timeline?.timeline === event.timeline) this.#ahead = fold(state, event);
    const done = this.#bring(name, event);
    const settled = done.catch(() => undefined);
    this.#snapshots.set(name, { timeline: event.timeline, done: settled });
    try {
      await done;
    } catch (cause) {
      // Nobody will ship it, and it must not fill the spool.
      if (isRefused(cause)) await this.#options.spool.remove(name);
      throw cause;
    } finally {
      this.#snapshots.delete(name);
      this.#forgetAhead();
    }
  }

  /** Resolves when all entries added so far are durable or can no more become so. */
  async settled(): Promise<void> {
    const upTo = this.#added;
    while (!this.#failed && this.#durable < upTo) await this.#change(upTo);
  }

  /** Resolves when nothing is under way any more: all is durable, or a fault or the end came. */
  async ended(): Promise<void> {
    while (this.#draining !== null) await this.#draining;
    await Promise.all([...this.#snapshots.values()].map(({ done }) => done));
  }

  /**
   * Takes over what an earlier run left in the spool, as far as it goes on where the log ends and is
   * what its notes say. From the first entry on that does not, all is dropped: the tail delivers
   * those bytes again. What lies in front and is in the log already is dropped too.
   * @returns How many entries.
   */
  async recover(): Promise<number> {
    const { spool } = this.#options;
    const snapshots: SpooledEntry[] = [];
    const inOrder: string[] = [];
    for (const name of await spool.names()) {
      if (!name.startsWith(SNAPSHOT_NAME)) {
        inOrder.push(name);
        continue;
      }
      const entry = await readSpooled(spool, name);
      if (entry === null) await spool.remove(name);
      else snapshots.push(entry);
    }
    let taken = this.#takeSnapshots(snapshots);
    let [broken, entries] = [false, 0];
    for (const name of inOrder) {
      const entry = broken ? null : await readSpooled(spool, name);
      if (entry !== null && followsLog(entry.event, this.state)) {
        this.#take(name, entry.event);
        entries += 1;
        if (entry.event.type === 'TimelineOpened') taken += this.#takeSnapshots(snapshots);
        continue;
      }
      broken ||= entry === null || entries > 0;
      await spool.remove(name);
    }
    for (const { name } of snapshots) await spool.remove(name);
    this.#drainOn();
    return taken + entries;
  }

  #take(name: string, event: WriterEvent): void {
    this.#ahead = fold(this.state, event);
    const logBytes = event.type === 'SegmentStored' ? event.segment.rawBytes : 0;
    this.#entries.push({ name, atMs: eventMs(event), logBytes });
    this.#logBytes += logBytes;
    this.#added += 1;
  }

  /** Begins to ship the snapshots of the timeline that is open now; takes them from the list. */
  #takeSnapshots(snapshots: SpooledEntry[]): number {
    let taken = 0;
    for (let at = snapshots.length - 1; at >= 0; at--) {
      const { name, event } = snapshots[at] as SpooledEntry;
      if (event.type !== 'SnapshotStored' || !followsLog(event, this.state)) continue;
      snapshots.splice(at, 1);
      taken += 1;
      this.ship(name, event).catch((cause: unknown) => {
        if (!isRefused(cause)) this.#fail(cause);
      });
    }
    return taken;
  }

  async #bring(name: string, event: SnapshotStored): Promise<void> {
    const { spool, append, log } = this.#options;
    const entry = await readSpooled(spool, name);
    if (entry === null) throw damaged(name);
    // Its timeline may still wait in front of it. What was put before that wait could be deleted in it,
    // as an object that no log names.
    while (log.state.timeline?.timeline !== event.timeline && this.waiting > 0 && !this.#failed) {
      await this.#change(this.#durable + 1);
    }
    this.#options.signal.throwIfAborted();
    await putSpooled(entry, this.#options);
    this.#options.signal.throwIfAborted();
    await append(event);
    await spool.remove(name);
  }

  #drainOn(): void {
    if (this.#draining !== null || this.#failed || this.#entries.length === 0) return;
    this.#draining = this.#drain().finally(() => {
      this.#draining = null;
      this.#drainOn();
    });
  }

  async #drain(): Promise<void> {
    const { spool, signal, append, onDurable } = this.#options;
    try {
      for (let head = this.#entries[0]; head !== undefined; head = this.#entries[0]) {
        signal.throwIfAborted();
        const entry = await readSpooled(spool, head.name);
        if (entry === null) throw damaged(head.name);
        if (entry.event.type === 'TimelineOpened') await this.#snapshotsLogged();
        const body = await putSpooled(entry, this.#options);
        await append(entry.event, body);
        await spool.remove(head.name);
        this.#entries.shift();
        this.#logBytes -= head.logBytes;
        this.#forgetAhead();
        await onDurable(entry.event);
        this.#durable += 1;
        this.#wake();
      }
    } catch (cause) {
      this.#fail(cause);
    }
  }

  /** After the next timeline is opened, no snapshot of the one before it can be logged. */
  async #snapshotsLogged(): Promise<void> {
    const open = this.#options.log.state.timeline?.timeline;
    const of = [...this.#snapshots.values()].filter(({ timeline }) => timeline === open);
    await Promise.all(of.map(({ done }) => done));
  }

  #forgetAhead(): void {
    if (this.#entries.length === 0 && this.#snapshots.size === 0) this.#ahead = null;
  }

  #fail(cause: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailed(cause);
    this.#wake();
  }

  #change(upTo: number): Promise<void> {
    return new Promise((resolve) => this.#waiters.push({ upTo, resolve }));
  }

  #wake(): void {
    const due = this.#waiters.filter(({ upTo }) => this.#failed || upTo <= this.#durable);
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter));
    for (const { resolve } of due) resolve();
  }
}

function fold(state: WriterState, event: WriterEvent): WriterState {
  return evolve(state, event, state.seq + 1, state.digest);
}

function isRefused(cause: unknown): boolean {
  return cause instanceof TidemarkError && cause.code === 'TM_LOG_STATE';
}

/** The next start drops it and what follows it; the tail delivers those bytes again. */
function damaged(name: string): TidemarkError {
  return new TidemarkError('TM_SPOOL_DAMAGED', 'the disk of the spool did not keep what it took', {
    context: { name },
    hint: 'the capture begins anew and reads those bytes again; look at that disk',
  });
}
