import { UsageError } from '@tidemark/core';
import { Chain } from './chain.ts';
import { readDiskView } from './disk-view.ts';
import { LogWalk } from './log-walk.ts';
import type {
  AofTailOptions,
  PinClass,
  TailCursor,
  TailItem,
  TailPosition,
  TailSample,
} from './model.ts';
import { errorCode } from './pin-files.ts';
import { PinKeeper } from './pin-keeper.ts';
import { GrowthWatch, Waker } from './reader-wait.ts';
import { SampleMapper, type DiskView } from './sample-mapper.ts';
import type { SeenFile } from './seen.ts';
import type { ForkBounds } from './single/overlap.ts';
import { SingleSampleMapper } from './single/single-sample-mapper.ts';
import { readSingleView } from './single/single-view.ts';

const READ_BYTES_MAX = 1 << 20;
const MANIFEST_NAME = 'appendonly.aof.manifest';
/** Poll while nothing comes, with and without a watch on the file. */
const WATCHED_POLL_MS = 200;
const PLAIN_POLL_MS = 25;

/** What {@link AofTail.beginSample} gives: the disk just before a sample was asked for. */
export interface SampleStamp {
  readonly view: DiskView | null;
}

interface TailParts {
  readonly options: AofTailOptions;
  readonly pins: PinKeeper;
  readonly walk: LogWalk;
  readonly chain: Chain;
  readonly waker: Waker;
  readonly mapper: PlaceMapper;
}

/** Maps samples to places: one of the two layouts. */
type PlaceMapper = Pick<SampleMapper, 'map' | 'reset'>;

/**
 * Reads the command log of one node from its AOF folder, across rewrites, restarts and breaks.
 *
 * Made by {@link openAofTail}. Between two increments continuity is proven, or a `broken` item says
 * why it could not be. After `broken` the log is read again from a base: `opened` follows when one
 * is at hand. Disposing leaves the pins on the disk for the next process.
 */
export class AofTail implements AsyncDisposable {
  readonly #parts: TailParts;
  readonly #growth = new GrowthWatch();
  #taking: Promise<TailItem> | null = null;
  #closed = false;

  constructor(parts: TailParts) {
    this.#parts = parts;
  }

  /** How the files are held. May change while the tail runs: with the newest file. */
  get pinClass(): PinClass {
    return this.#parts.pins.pinClass;
  }

  /** What the manifest lists as history: files that the server keeps though it does without them. */
  get history(): { readonly files: number; readonly bytes: number; readonly needed: boolean } {
    const { walk, chain } = this.#parts;
    const files = chain.history;
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    return { files: files.length, bytes, needed: files.some((file) => walk.needs(file)) };
  }

  /**
   * The next thing that happened; waits for it. One caller at a time.
   * @throws The signal's reason when it is aborted; FormatError `TM_AOF_MANIFEST` or UsageError
   *   `TM_AOF_DIR` while the folder cannot be read (a later call may succeed).
   */
  async next(): Promise<TailItem> {
    if (this.#taking !== null) throw new UsageError('TM_USAGE', 'next is already being waited for');
    const taking = this.#take();
    this.#taking = taking;
    try {
      return await taking;
    } catch (error) {
      throw deniedOr(error, this.#parts.options.dir);
    } finally {
      this.#taking = null;
    }
  }

  /**
   * Where a later process can go on after everything that `next` gave so far; `null` before the
   * first increment was opened. One SHA-256 over at most 4 KiB.
   */
  cursor(): TailCursor | null {
    return this.#parts.walk.cursor();
  }

  /**
   * Lets go of the pins of increments that were delivered to their end, oldest first, up to a seq.
   * To be called once a cursor in a later increment is durable; prefer {@link releaseBefore}, which
   * is not misled by a seq that the server uses again.
   */
  async release(throughSeq: number): Promise<void> {
    await this.#parts.walk.releases.through(throughSeq);
  }

  /** Lets go of the pins of all increments delivered before the one that a durable cursor names. */
  async releaseBefore(cursor: TailCursor): Promise<void> {
    const { walk } = this.#parts;
    await walk.releases.before(cursor, walk.reader?.file ?? null);
  }

  /** Lets go of a base that an item gave, by its name. Others of that name stay. */
  async releaseBase(name: string): Promise<void> {
    await this.#parts.walk.releases.base(name);
  }

  /**
   * After a `broken` item: reads on at a cursor, if the bytes before it are still those that were
   * delivered. `opened` with `resumed` follows then, else `broken` again.
   * @param cursor - Of this process; nothing after it may have been used.
   */
  resumeAt(cursor: TailCursor): void {
    this.#parts.walk.resumeAt(cursor);
  }

  /**
   * Gives the increment being read up, because what it holds cannot be understood. The log is read
   * again from the next increment on; `opened` with `divergent-tail` follows then.
   */
  async giveUp(): Promise<void> {
    await this.#parts.walk.giveUp();
  }

  /** Whether the server runs a rewrite now (`aof_rewrite_in_progress`): pins look closer then. */
  noteRewrite(running: boolean): void {
    this.#parts.pins.noteRewrite(running);
  }

  /**
   * Says whether the server writes its log at all (`aof_enabled`). When it does not, what was
   * written is delivered, then a `broken` item with `aof-off` comes.
   * @param runId - `run_id` of the server: a restarted one loads the log and goes on in it.
   */
  noteAofEnabled(enabled: boolean, runId = ''): void {
    const { walk, waker, mapper, pins, chain } = this.#parts;
    if (enabled) {
      if (walk.off.noteOn(runId)) waker.wake();
      return;
    }
    if (!walk.off.noteOff(runId)) return;
    mapper.reset();
    const latch = async (): Promise<void> => {
      await pins.look(); // the newest increment at this moment, not the newest one known
      if (walk.off.active) walk.off.latch(chain.newest?.file ?? null);
      waker.wake();
    };
    latch().catch(() => waker.wake());
  }

  /** To be called right before a sample is sent to the server. Reads the manifest. */
  beginSample(): SampleStamp {
    return { view: this.#view() };
  }

  /**
   * Maps a sample to a place in the log; to be called right after its answer came.
   * @returns `null` when the place is not certain: drop the sample. The increment may be one that
   *   `next` has not opened yet.
   */
  position(sample: TailSample, at: SampleStamp): TailPosition | null {
    if (this.#parts.walk.off.active) return null;
    return this.#parts.mapper.map(sample, at.view, this.#view());
  }

  /** Ends the thread and closes files. Pins stay on the disk for a later process. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { waker, walk, pins } = this.#parts;
    waker.close();
    waker.wake();
    await this.#taking?.catch(() => null); // a read under way uses the descriptor
    this.#growth.close();
    await walk.leave();
    await pins.close();
  }

  async #take(): Promise<TailItem> {
    const { walk, pins, options } = this.#parts;
    for (;;) {
      options.signal.throwIfAborted();
      if (this.#closed) throw new UsageError('TM_USAGE', 'the tail is closed');
      pins.throwIfDead();
      const item = await walk.step();
      if (item !== null) return item;
      await this.#wait();
    }
  }

  #view(): DiskView | null {
    const { pins, chain, options } = this.#parts;
    const name = options.manifestName ?? MANIFEST_NAME;
    if (options.layout !== 'single-file') return readDiskView(pins.dir, name);
    return readSingleView(pins.dir, name, chain.newest?.file ?? null);
  }

  async #wait(): Promise<void> {
    const { walk, waker } = this.#parts;
    const { reader } = walk;
    if (this.#closed) return;
    let delayMs = WATCHED_POLL_MS;
    if (reader !== null) {
      const watched = this.#growth.arm(reader.file.path, () => waker.wake());
      if (await reader.hasMore()) return;
      if (!watched) delayMs = PLAIN_POLL_MS;
    }
    await waker.wait(delayMs);
  }
}

function deniedOr(error: unknown, dir: string): unknown {
  const code = errorCode(error);
  if (code !== 'EACCES' && code !== 'EPERM') return error;
  return new UsageError('TM_AOF_DIR', 'a file of the AOF folder cannot be opened', {
    context: { dir },
    hint: "run beside the server, as the server's user",
    cause: error,
  });
}

const noRdbReader = (): Promise<never> =>
  Promise.reject(new UsageError('TM_USAGE', 'a log with an RDB at its head needs rdbBytes'));

/**
 * Opens the log of a node for reading: from its base, or from where an earlier process stopped.
 *
 * Files are held (hard links in `.tidemark-pins` beside the folder) by a thread of its own from
 * this moment on. A folder or manifest that does not exist yet is waited for.
 * @throws UsageError `TM_AOF_DIR` when the folder cannot be reached for another reason.
 */
export async function openAofTail(options: AofTailOptions): Promise<AofTail> {
  const { clock, signal, resume, dir, pinBytesMax, pinAgeMaxMs } = options;
  signal.throwIfAborted();
  const chain = new Chain();
  const layout = options.layout ?? 'multi-part';
  const single = layout === 'single-file' ? new SingleSampleMapper() : null;
  const mapper = single ?? new SampleMapper();
  const waker = new Waker(clock, signal);
  let walk: LogWalk | null = null;
  const letGo = (files: readonly SeenFile[]): void => {
    pins.letGo(files).catch(() => waker.wake()); // the limits let go of what stays
  };
  const pins: PinKeeper = await PinKeeper.open(
    {
      dir,
      manifestName: options.manifestName ?? MANIFEST_NAME,
      layout,
      resume,
      pinOwner: options.pinOwner ?? null,
      hold: options.hold ?? false,
      clock,
      pinBytesMax,
      pinAgeMaxMs,
    },
    {
      onVersion: (version) => {
        chain.apply(version);
        const idle = chain.takeOrphans().filter((file) => walk?.releases.awaits(file) !== true);
        if (idle.length > 0) letGo(idle);
      },
      onDrop: async (file) => walk?.drop(file),
      onNews: () => waker.wake(),
    },
  );
  const bytesMax = Math.max(1, options.readBytesMax ?? READ_BYTES_MAX);
  const onRestart = (): void => mapper.reset();
  const rdbBytes = options.rdbBytes ?? noRdbReader;
  const resumeBack = options.resumeBack ?? 0;
  const walking = { pins, chain, clock, signal, bytesMax, resume, resumeBack };
  const forkOf = (file: SeenFile): ForkBounds | null => single?.forkOf(file) ?? null;
  walk = new LogWalk({ ...walking, rdbBytes, forkOf, onRestart });
  return new AofTail({ options, pins, walk, chain, waker, mapper });
}
