import { close, linkSync, unlinkSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { FormatError, TidemarkError, UsageError, type Clock } from '@tidemark/core';
import type { AofLayout, BaseFile, FileIdentity, PinClass } from './model.ts';
import { errorCode, isMissing, listPins, openSame, statOrNull, takeOverPins } from './pin-files.ts';
import { fileKey, formatPinName, pinPlace, sameFile } from './pin-names.ts';
import { overLimits } from './pin-limits.ts';
import { PinThread } from './pin-thread.ts';
import type { PinReport, SeenFile, SeenVersion } from './seen.ts';

const closeFd = promisify(close);

/** How often limits are looked at, in milliseconds. */
const LIMIT_LOOK_MS = 1_000;

/** Settings of a keeper; see `AofTailOptions`. */
export interface PinKeeperOptions {
  readonly dir: string;
  readonly manifestName: string;
  readonly layout: AofLayout;
  readonly resume: FileIdentity | null;
  readonly pinOwner: string | null;
  readonly hold: boolean;
  readonly clock: Clock;
  readonly pinBytesMax: number;
  readonly pinAgeMaxMs: number;
}

/** What the keeper tells the tail. */
export interface PinKeeperEvents {
  onVersion(version: SeenVersion): void;
  /** A file went over a limit: its bytes are gone. */
  onDrop(file: SeenFile): Promise<void>;
  /** Something changed that a waiting reader should look at. */
  onNews(): void;
}

interface HeldFile {
  readonly file: SeenFile;
  /** The manifest in force lists it. */
  listed: boolean;
  /** Readers that use its descriptor now. */
  readers: number;
  /** To be let go when the last reader leaves. */
  leaving: boolean;
}

/** The real path of the AOF folder, or the plain one while it does not exist. */
export async function realFolder(dir: string): Promise<string> {
  try {
    return await realpath(dir);
  } catch (error) {
    if (isMissing(error)) return resolve(dir);
    const reason = errorCode(error);
    throw new UsageError('TM_AOF_DIR', `the AOF folder cannot be used (${reason})`, {
      context: { dir },
      cause: error,
    });
  }
}

/**
 * The files that are held against removal, their release, and the limits of what they may cost.
 *
 * The pin thread links (or opens) files as manifests name them and reports; this side lets them go.
 * Only what the server has removed counts against the limits: the rest costs the node nothing.
 */
export class PinKeeper {
  readonly #options: PinKeeperOptions;
  readonly #events: PinKeeperEvents;
  readonly #pinDir: string;
  readonly #files = new Map<string, HeldFile>();
  /** Files let go while the manifest still lists them: the thread does not hold them again. */
  readonly #released = new Set<string>();
  /** Files whose pins an earlier process left. */
  readonly #leftovers = new Set<string>();
  readonly #openedAtMs: number;
  readonly #stop = new AbortController();
  #thread: PinThread | null = null;
  #limits: Promise<void> = Promise.resolve();
  #failure: Error | null = null;
  #death: Error | null = null;
  #class: PinClass = 'held';

  private constructor(dir: string, options: PinKeeperOptions, events: PinKeeperEvents) {
    this.#options = { ...options, dir };
    this.#events = events;
    this.#pinDir = pinPlace(dir, options.manifestName, options.pinOwner).dir;
    this.#openedAtMs = options.clock.nowMs();
  }

  /** Starts the pin thread and resolves when it has reported the present state. */
  static async open(options: PinKeeperOptions, events: PinKeeperEvents): Promise<PinKeeper> {
    const dir = await realFolder(options.dir);
    const keeper = new PinKeeper(dir, options, events);
    const { manifestName, layout, resume, pinOwner } = options;
    const place = pinPlace(dir, manifestName, pinOwner);
    takeOverPins(pinPlace(dir, manifestName, null).dir, place.dir);
    keeper.#adoptLeftovers();
    const settings = { dir, manifestName, layout, resume, pinRoot: place.root, pinDir: place.dir };
    keeper.#thread = new PinThread(settings, {
      onReport: (report) => keeper.#take(report),
      onDeath: (cause) => keeper.#die(cause),
    });
    await keeper.#thread.look();
    keeper.#limits = keeper.#watchLimits();
    return keeper;
  }

  /** Real path of the AOF folder. */
  get dir(): string {
    return this.#options.dir;
  }

  /** How the files are held, judged by the newest one. */
  get pinClass(): PinClass {
    return this.#class;
  }

  /** Throws when nothing is pinned any more: going on would risk bytes unseen. */
  throwIfDead(): void {
    if (this.#death !== null) throw this.#death;
  }

  /** Throws what stands in the way of going on, if anything does. */
  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Resolves when everything the folder shows now has been reported. */
  async look(): Promise<void> {
    await this.#thread?.look();
  }

  /** Whether the server runs a rewrite: the thread polls faster then. */
  noteRewrite(running: boolean): void {
    this.#thread?.noteRewrite(running);
  }

  /** Increments held now (pins of earlier processes too), in no particular order. */
  increments(): readonly SeenFile[] {
    return [...this.#files.values()].map(({ file }) => file).filter(({ type }) => type === 'i');
  }

  /** Whether a pin of an earlier process has held this file: its inode was never free since. */
  wasPinned(file: SeenFile): boolean {
    return this.#leftovers.has(fileKey(file.type, file));
  }

  /**
   * Opens a file for reading; give it back with {@link giveBack}.
   * @returns A descriptor, or `null` when its bytes are gone.
   */
  borrow(file: SeenFile): number | null {
    const held = this.#files.get(fileKey(file.type, file));
    const owned = held?.file.fd ?? null;
    if (held !== undefined && owned !== null && !held.leaving) {
      held.readers++;
      return owned;
    }
    return openSame(file.path, file) ?? openSame(join(this.#options.dir, file.name), file);
  }

  /** Ends the use of a descriptor from {@link borrow}. */
  async giveBack(file: SeenFile, fd: number): Promise<void> {
    const held = this.#files.get(fileKey(file.type, file));
    if (held === undefined || held.file.fd !== fd) {
      await closeFd(fd);
      return;
    }
    held.readers--;
    if (held.leaving && held.readers <= 0) await this.#forget(held);
  }

  /** Pins a file again that was let go, for a second reading. */
  holdAgain(file: SeenFile): void {
    const key = fileKey(file.type, file);
    if (this.#files.has(key)) return;
    if (file.pinned) {
      try {
        const source = join(this.#options.dir, file.name);
        const pin = { ...file, previous: file.previous };
        linkSync(source, join(this.#pinDir, formatPinName(pin)));
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') return; // read from its own place then
      }
    }
    if (file.fd !== null) return; // its descriptor is closed: read from its own place
    this.#released.delete(key);
    this.#files.set(key, this.#entry(file, true));
  }

  /** What the caller reads a base by, or `null` when it is gone. */
  baseOf(file: SeenFile, alignedSeq: number): BaseFile | null {
    const { name, seq, size } = file;
    const held = this.#files.get(fileKey(file.type, file));
    const fd = held?.file.fd ?? null;
    // The name goes with the next rewrite, the descriptor stays; Linux opens it again by this path.
    if (fd !== null) return { name, seq, size, alignedSeq, path: `/proc/self/fd/${fd}` };
    const own = join(this.#options.dir, file.name);
    const path = [file.path, own].find((candidate) => {
      const stat = statOrNull(candidate);
      return stat?.ino.toString() === file.ino && stat.dev.toString() === file.dev;
    });
    return path === undefined ? null : { name, seq, size, alignedSeq, path };
  }

  /** The RDB that a log begins with, as the caller reads it. */
  headOf(file: SeenFile, bytes: number): BaseFile | null {
    const whole = this.baseOf(file, file.seq);
    return whole === null ? null : { ...whole, size: bytes };
  }

  /** Lets go of files. Unknown ones are passed over. */
  async letGo(files: readonly SeenFile[]): Promise<void> {
    for (const file of files) {
      const held = this.#files.get(fileKey(file.type, file));
      if (held !== undefined) await this.#forget(held);
    }
  }

  /** Lets go of every file that the manifest does not list and `needed` does not want. */
  async letGoUnless(needed: (file: SeenFile) => boolean): Promise<void> {
    const idle = [...this.#files.values()].filter(({ listed, file }) => !listed && !needed(file));
    await this.letGo(idle.map(({ file }) => file));
  }

  /** Bases held under a name. */
  basesNamed(name: string): readonly SeenFile[] {
    const held = [...this.#files.values()].map(({ file }) => file);
    return held.filter((file) => file.type === 'b' && file.name === name);
  }

  /** Ends the thread and closes what is open. Pins stay for the next process. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#thread?.close();
    await this.#limits;
    for (const { file } of this.#files.values()) if (file.fd !== null) await closeFd(file.fd);
    this.#files.clear();
  }

  #entry(file: SeenFile, listed: boolean): HeldFile {
    return { file, listed, readers: 0, leaving: false };
  }

  #adoptLeftovers(): void {
    for (const { pin, path, size } of leftoversIn(this.#pinDir)) {
      const file = { ...pin, name: '', size, path, pinned: true, fd: null };
      this.#files.set(fileKey(pin.type, pin), this.#entry(file, false));
      this.#leftovers.add(fileKey(pin.type, pin));
    }
  }

  #take(report: PinReport): void {
    switch (report.kind) {
      case 'looked':
        return;
      case 'absent':
        this.#failure = null;
        break;
      case 'failed':
        this.#failure =
          report.code === 'TM_AOF_MANIFEST'
            ? new FormatError(report.code, report.message, { context: report.context })
            : new UsageError(report.code, report.message, {
                context: report.context,
                hint: "run beside the server, as the server's user",
              });
        break;
      case 'version':
        this.#failure = null;
        this.#takeVersion(report.version);
        this.#events.onVersion(report.version);
        break;
    }
    this.#events.onNews();
  }

  #takeVersion(version: SeenVersion): void {
    for (const held of this.#files.values()) held.listed = false;
    const listed = [version.base, ...version.incr].filter((file) => file !== null);
    for (const file of listed) {
      const key = fileKey(file.type, file);
      const held = this.#files.get(key);
      if (held !== undefined) {
        this.#files.set(key, { ...held, file: mergeHeld(held.file, file), listed: true });
      } else if (!this.#released.has(key)) {
        this.#files.set(key, this.#entry(file, true));
      }
    }
    this.#pruneReleased(new Set(listed.map((file) => fileKey(file.type, file))));
    const newest = listed.at(-1);
    if (newest === undefined) return;
    this.#class = newest.pinned ? 'pinned' : this.#options.hold ? 'hold' : 'held';
  }

  #pruneReleased(listed: ReadonlySet<string>): void {
    for (const key of this.#released) if (!listed.has(key)) this.#released.delete(key);
  }

  async #forget(held: HeldFile): Promise<void> {
    const { file } = held;
    const key = fileKey(file.type, file);
    if (file.pinned) removePin(file.path);
    if (file.fd !== null && held.readers > 0) {
      held.leaving = true;
      return;
    }
    this.#files.delete(key);
    if (held.listed) this.#released.add(key);
    if (file.fd !== null) await closeFd(file.fd);
  }

  #die(cause: Error): void {
    this.#death = new TidemarkError('TM_INTERNAL', 'the pin thread died', { cause });
    this.#events.onNews();
  }

  async #watchLimits(): Promise<void> {
    const { signal } = this.#stop;
    try {
      for (;;) {
        await this.#options.clock.sleep(LIMIT_LOOK_MS, signal);
        await this.#enforceLimits();
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#death = error instanceof Error ? error : new Error(String(error));
      this.#events.onNews();
    }
  }

  async #enforceLimits(): Promise<void> {
    const held = [...this.#files.values()].filter(({ listed, leaving }) => !listed && !leaving);
    const { pinBytesMax: bytesMax, pinAgeMaxMs: ageMaxMs, clock } = this.#options;
    const files = held.map(({ file }) => file);
    const limits = { bytesMax, ageMaxMs };
    for (const file of overLimits(files, limits, clock.nowMs(), this.#openedAtMs)) {
      await this.letGo([file]);
      await this.#events.onDrop(file);
      this.#events.onNews();
    }
  }
}

function leftoversIn(pinDir: string): ReturnType<typeof listPins> {
  try {
    return listPins(pinDir);
  } catch (error) {
    if (errorCode(error) === 'EACCES') return []; // somebody else's: nothing is pinned there
    throw error;
  }
}

/** A file that is held already and seen again: a leftover pin had no name, and may lie elsewhere. */
function mergeHeld(held: SeenFile, seen: SeenFile): SeenFile {
  const fd = seen.fd ?? held.fd;
  if (seen.pinned && held.pinned && seen.path !== held.path) removePin(held.path);
  if (held.pinned && !seen.pinned) return { ...seen, path: held.path, pinned: true, fd };
  return { ...seen, fd };
}

function removePin(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Follows the proofs in pin names from one increment on. */
export function successors(files: readonly SeenFile[], first: FileIdentity): readonly SeenFile[] {
  const start = files.find((file) => sameFile(file, first));
  if (start === undefined) return [];
  const chain = [start];
  for (let last = start; chain.length <= files.length;) {
    const next = files.find(({ previous }) => previous !== null && sameFile(previous, last));
    if (next === undefined) break;
    chain.push(next);
    last = next;
  }
  return chain;
}
