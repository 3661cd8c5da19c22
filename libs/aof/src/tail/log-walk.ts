import type { Clock } from '@tidemark/core';
import { Chain, isProven, type ChainNode } from './chain.ts';
import { IncrReader, type ReadOutcome } from './incr-reader.ts';
import { LogOff } from './log-off.ts';
import {
  UNSEEN_SUCCESSOR,
  type BreakReason,
  type Continuity,
  type FileIdentity,
  type TailCursor,
  type TailItem,
} from './model.ts';
import { successors, type PinKeeper } from './pin-keeper.ts';
import { sameFile } from './pin-names.ts';
import type { SeenFile } from './seen.ts';
import { findFork, type ForkBounds } from './single/overlap.ts';
import { TailReleases } from './tail-releases.ts';

/** After a read smaller than this the next one waits: many small appends become one chunk. */
const SMALL_READ_BYTES = 256 << 10;
const PACE_MS = 15;
/** A short write is taken back and written again: how long a file may stay shorter. */
const SHRINK_GRACE_MS = 1_000;

/** The file of an open descriptor under a name of its own, whatever became of its first one. */
const fdPath = (fd: number): string => `/proc/self/fd/${fd}`;

/** What a walk needs. */
export interface LogWalkOptions {
  readonly pins: PinKeeper;
  readonly chain: Chain;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly bytesMax: number;
  readonly resume: TailCursor | null;
  /** Bytes before that cursor that are delivered once more. */
  readonly resumeBack: number;
  /** Tells the length of the RDB that a file begins with. */
  readonly rdbBytes: (path: string, signal: AbortSignal) => Promise<number>;
  /** Between which positions of a single file its latest rewrite forked, if samples tell. */
  readonly forkOf: (file: SeenFile) => ForkBounds | null;
  /** Called when the same files are to be read from their base again. */
  readonly onRestart: () => void;
}

/** The way into the next increment. */
interface NextStart {
  readonly continuity: Continuity;
  readonly reason: BreakReason | null;
  readonly joint?: Joint;
}

/** Bytes of the RDB at the head of a file, and of its log that were delivered from another file. */
interface Joint {
  readonly headBytes: number;
  readonly overlap: number;
}

/**
 * Walks the chain of increments and turns what it finds into items.
 *
 * Modes: waiting (nothing opened: `reader` is null; `#start` says how the next increment will hang
 * together) and reading (`reader` is on the first node of the chain). Every step returns one item,
 * or `null` when there is nothing to tell now.
 */
export class LogWalk {
  readonly off = new LogOff();
  readonly releases: TailReleases;
  readonly #pins: PinKeeper;
  readonly #chain: Chain;
  readonly #options: LogWalkOptions;
  #reader: IncrReader | null = null;
  #lastCursor: TailCursor | null = null;
  #start: NextStart | null = { continuity: 'first', reason: null };
  /** `ours`: it was read in this process, and the file has been held since. */
  #resume: { readonly at: TailCursor; readonly back: number; readonly ours: boolean } | null;
  #stepping = false;
  #idleTold = false;
  #lastReadSmall = false;
  #shrunkSince: number | null = null;

  constructor(options: LogWalkOptions) {
    this.#options = options;
    this.#pins = options.pins;
    this.#chain = options.chain;
    const { resume, resumeBack } = options;
    this.#resume = resume === null ? null : { at: resume, back: resumeBack, ours: false };
    this.releases = new TailReleases(options.pins);
  }

  /** The increment being read. */
  get reader(): IncrReader | null {
    return this.#reader;
  }

  /** Where a later process can go on after the items so far. */
  cursor(): TailCursor | null {
    return this.#reader?.cursor() ?? this.#lastCursor;
  }

  /** The next item, or `null` when it must be waited for. One call at a time. */
  async step(): Promise<TailItem | null> {
    this.#stepping = true;
    try {
      return this.#reader === null ? await this.#open() : await this.#read(this.#reader);
    } finally {
      this.#stepping = false;
    }
  }

  /** Whether a file is still to be read, or was and its release is waited for. */
  needs(file: SeenFile): boolean {
    return this.#chain.find(file) !== null || this.releases.awaits(file);
  }

  /** After a break: reads on at a cursor of this process if the bytes before it are still there. */
  resumeAt(at: TailCursor): void {
    this.#resume = { at, back: 0, ours: true };
  }

  /** Gives the increment being read up: it holds what cannot be read. */
  async giveUp(): Promise<void> {
    const file = this.#reader?.file;
    if (file === undefined) return;
    await this.leave();
    this.#start = { continuity: 'broken', reason: 'divergent-tail' };
    await this.releases.pass(this.#chain.giveUp(file));
  }

  /** A pin went over a limit: its room comes back only when the file is closed too. */
  async drop(file: SeenFile): Promise<void> {
    this.#chain.drop(file);
    this.releases.forget(file);
    const reading = this.#reader !== null && sameFile(this.#reader.file, file);
    if (reading && !this.#stepping) await this.leave(); // else the step under way sees it
  }

  /** Closes the increment being read, if any. */
  async leave(): Promise<void> {
    const reader = this.#reader;
    if (reader === null) return;
    this.#reader = null;
    this.#lastCursor = reader.cursor();
    await this.#pins.giveBack(reader.file, reader.fd);
  }

  async #open(): Promise<TailItem | null> {
    if (this.#chain.versions === 0) {
      this.#pins.throwIfFailed();
      return null;
    }
    if (this.#resume !== null) {
      const { at, back, ours } = this.#resume;
      this.#resume = null;
      return this.#goOn(at, back, ours);
    }
    const start = this.#start ?? { continuity: 'proven', reason: null };
    if (start.continuity === 'first') await this.#pins.letGoUnless((file) => this.#needs(file));
    if (start.continuity === 'first' || start.reason === 'aof-off') {
      if (!(await this.#maySetOut())) return null;
    }
    const node = this.#chain.nodes[0];
    if (node !== undefined) return this.#enter(node, start);
    this.#pins.throwIfFailed();
    return null;
  }

  /** Whether the log is written at all, so that its files describe the present dataset. */
  async #maySetOut(): Promise<boolean> {
    const { off } = this;
    const unblocked = off.unblocked(this.#chain.newest?.file ?? null);
    if (unblocked === 'no') return false;
    if (unblocked === 'new-file' && off.file !== null) {
      await this.releases.pass(this.#chain.skipPast(off.file));
    }
    if (unblocked === 'same-file') await this.#restart();
    if (this.#chain.nodes.length > 0) off.clear();
    return true;
  }

  async #enter(node: ChainNode, start: NextStart): Promise<TailItem> {
    const fd = node.dropped ? null : this.#pins.borrow(node.file);
    if (fd === null) return this.#break('pin-dropped', `${node.file.name} is gone`);
    const { headBytes, overlap } = start.joint ?? {
      headBytes: await this.#headBytes(node, fd),
      overlap: 0,
    };
    this.#reader = await IncrReader.after(node.file, fd, headBytes + overlap);
    return this.#opened(node, this.#reader, start, headBytes);
  }

  async #headBytes({ file }: ChainNode, fd: number): Promise<number> {
    const { rdbBytes, signal } = this.#options;
    return file.head === 'rdb' ? rdbBytes(fdPath(fd), signal) : 0;
  }

  #opened(
    node: ChainNode,
    reader: IncrReader,
    start: NextStart,
    headBytes: number | null,
  ): TailItem {
    this.#start = null;
    this.#idleTold = false;
    this.#lastReadSmall = false;
    this.#shrunkSince = null;
    const { name, seq, dev, ino } = node.file;
    const { continuity, reason } = start;
    return {
      kind: 'opened',
      file: { name, seq, dev, ino },
      continuity,
      ...(reason === null ? {} : { reason }),
      base:
        headBytes === null ? this.releases.passBase(node) : this.releases.tellBase(node, headBytes),
      position: reader.position,
      start: headBytes ?? 0,
    };
  }

  /** Finds the file of a cursor again, or says that it cannot be told how the log went on. */
  async #goOn(at: TailCursor, back: number, ours: boolean): Promise<TailItem> {
    if (this.#chain.find(at) === null) {
      const kept = successors(this.#pins.increments(), at);
      const listed = kept.length > 0 ? null : this.#chain.listed(at);
      const named = kept.map((file) => (sameFile(file, at) ? { ...file, name: at.file } : file));
      this.#chain.seed(listed === null ? named : [listed]);
    }
    const node = this.#chain.find(at);
    if (node !== null) await this.releases.pass(this.#chain.cutBefore(node));
    await this.#pins.letGoUnless((file) => this.#needs(file));
    if (node === null) {
      const reason = this.#lossOf({ ...at, name: at.file });
      this.#start = { continuity: 'broken', reason };
      const replaced = reason === 'divergent-tail';
      return this.#broken(replaced ? `${at.file} is another file` : `${at.file} is gone`);
    }
    const fd = this.#pins.borrow(node.file);
    if (fd === null) return this.#break('pin-dropped', `${at.file} is gone`);
    // Without a byte to compare, only a pin proves that the inode was not given away since.
    const same = at.digestBytes > 0 || ours || this.#pins.wasPinned(node.file);
    const reader = same ? await IncrReader.atCursor(node.file, fd, at, back) : null;
    if (reader === null) {
      await this.#pins.giveBack(node.file, fd);
      return this.#break('divergent-tail', `${at.file} has other bytes before ${at.position}`);
    }
    this.#reader = reader;
    return this.#opened(node, reader, { continuity: 'resumed', reason: null }, null);
  }

  async #read(reader: IncrReader): Promise<TailItem | null> {
    const node = this.#chain.nodes[0];
    if (node === undefined || !sameFile(node.file, reader.file)) {
      return this.#break(this.#lossOf(reader.file), `${reader.file.name} left the manifest`);
    }
    if (node.dropped) return this.#break('pin-dropped', `${node.file.name} was over a limit`);
    if (!node.baseTold && (node.base ?? node.commandBase) !== null) {
      const base = this.releases.tellBase(node);
      if (base !== null) return { kind: 'base', base };
    }
    await this.#pace();
    // What follows must be known before the read that finds the end: the file is complete then.
    const next = this.#chain.after(node);
    const { headless } = this.#chain;
    const end = this.off.endOf(node.file);
    const { bytesMax } = this.#options;
    const room = end === null ? bytesMax : Math.min(bytesMax, end - reader.position);
    const outcome: ReadOutcome = room > 0 ? await reader.read(room) : { kind: 'end' };
    if (outcome.kind === 'bytes') {
      this.#idleTold = false;
      this.#shrunkSince = null;
      this.#lastReadSmall = outcome.data.length < Math.min(SMALL_READ_BYTES, bytesMax);
      return outcome;
    }
    if (outcome.kind !== 'end') return this.#differs(reader, outcome);
    this.#shrunkSince = null;
    if (end !== null && reader.position >= end) {
      return this.#breakOff('the append-only file was switched off');
    }
    if (next !== null) return this.#cross(node, next, reader);
    if (headless) return this.#breakOff('the manifest lists no increment any more');
    return this.#caughtUp();
  }

  #caughtUp(): TailItem | null {
    this.#pins.throwIfFailed();
    if (this.#idleTold) return null;
    this.#idleTold = true;
    return { kind: 'idle' };
  }

  /** From the end of one increment to the next one. */
  async #cross(node: ChainNode, next: ChainNode, reader: IncrReader): Promise<TailItem> {
    if (next.dropped) return this.#break('pin-dropped', `${next.file.name} was over a limit`);
    const proven = isProven(node, next);
    const joint = proven ? null : await this.#findJoint(reader, next);
    if (!proven && joint === null) {
      return this.#break(this.#lossOf(node.file), `${next.file.name} ${UNSEEN_SUCCESSOR}`);
    }
    const { position } = reader;
    await this.leave();
    await this.releases.pass(this.#chain.cutBefore(next));
    this.#start = { continuity: 'proven', reason: null, ...(joint === null ? {} : { joint }) };
    return { kind: 'ended', position };
  }

  /** How a single file goes on in the one that a rewrite put in its place, if that is proven. */
  async #findJoint(reader: IncrReader, next: ChainNode): Promise<Joint | null> {
    const bounds = this.#options.forkOf(reader.file);
    const { position: end } = reader;
    if (bounds === null || bounds.to >= end || next.file.head !== 'rdb') return null;
    const fd = this.#pins.borrow(next.file);
    if (fd === null) return null;
    try {
      const headBytes = await this.#headBytes(next, fd);
      const fork = await findFork(reader.fd, end, bounds, { fd, start: headBytes });
      return fork === null ? null : { headBytes, overlap: end - fork };
    } finally {
      await this.#pins.giveBack(next.file, fd);
    }
  }

  /** Why a file is not followed on: another one has taken its name, or a rewrite went unseen. */
  #lossOf(file: FileIdentity & { readonly name: string }): BreakReason {
    const named = this.#chain.listed(file) === null && this.#chain.hasNamed(file.name, file.seq);
    return named ? 'divergent-tail' : 'rewrite-unobserved';
  }

  /** The file is shorter than, or differs from, what was delivered. */
  async #differs(reader: IncrReader, outcome: ReadOutcome): Promise<TailItem | null> {
    const { position, file } = reader;
    const shrunk = outcome.kind === 'shrunk' ? outcome.size : null;
    if (shrunk !== null && shrunk + reader.blockBytes >= position) {
      // A short write that the server took back; it writes the same bytes again when it can.
      const now = this.#options.clock.monotonicMs();
      this.#shrunkSince ??= now;
      if (now - this.#shrunkSince < SHRINK_GRACE_MS) return null;
    }
    const detail =
      shrunk === null
        ? `${file.name} has other bytes before ${position}`
        : `${file.name} has ${shrunk} bytes, ${position} were delivered`;
    return this.#break('divergent-tail', detail, true);
  }

  /** Ends the timeline where the log was switched off; `LogOff` says when to start again. */
  async #breakOff(detail: string): Promise<TailItem> {
    const file = this.#reader?.file ?? null;
    if (this.off.endOf(file) === null) this.off.latch(file);
    await this.leave();
    this.#start = { continuity: 'broken', reason: 'aof-off' };
    return this.#broken(detail);
  }

  /** Ends the timeline; the next start is where a base is at hand. */
  async #break(reason: BreakReason, detail: string, cut = false): Promise<TailItem> {
    await this.leave();
    this.#start = { continuity: 'broken', reason };
    const node = this.#chain.nodes[0];
    if (reason === 'divergent-tail' && node !== undefined && this.#chain.listed(node.file)) {
      await this.#restart();
    } else if (node !== undefined) {
      await this.releases.pass(this.#chain.skipPast(node.file));
    }
    return this.#broken(detail, cut);
  }

  #broken(detail: string, cut = false): TailItem {
    const reason = this.#start?.reason ?? 'rewrite-unobserved';
    return { kind: 'broken', reason, detail, cut };
  }

  /** Reads the log of the manifest in force once more, from its base. */
  async #restart(): Promise<void> {
    await this.releases.pass(this.#chain.restart());
    this.releases.takeBack(this.#chain.nodes);
    this.#options.onRestart();
  }

  #needs(file: SeenFile): boolean {
    if (file.type === 'i') return this.#chain.find(file) !== null;
    return this.#chain.nodes.some(({ base }) => base !== null && sameFile(base, file));
  }

  async #pace(): Promise<void> {
    if (!this.#lastReadSmall) return;
    this.#lastReadSmall = false;
    await this.#options.clock.sleep(PACE_MS, this.#options.signal);
  }
}
