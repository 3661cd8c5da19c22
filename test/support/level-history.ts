import { join } from 'node:path';
import { objectIdentity } from '@tidemark/archive';
import type { SegmentStored, WriterEvent, WriterLog } from '@tidemark/catalog';
import { COMPRESSION, OBJECT_KIND, sealBytes } from '@tidemark/crypto';
import {
  TimelineWriter,
  type RolledSegment,
} from '../../services/archiver/src/capture/timeline-writer.ts';
import { CopyFolder } from '../../services/archiver/src/levels/copy-folder.ts';
import {
  SegmentLevels,
  type Copies,
  type SegmentLevelsOptions,
} from '../../services/archiver/src/levels/segment-levels.ts';
import { Backlog } from '../../services/archiver/src/ship/backlog.ts';
import { DataKeys } from '../../services/archiver/src/ship/data-keys.ts';
import type { ShipperOptions } from '../../services/archiver/src/ship/segment-shipper.ts';
import { shipSnapshot } from '../../services/archiver/src/ship/snapshot-shipper.ts';
import { Spool } from '../../services/archiver/src/ship/spool.ts';
import { incrFile, layOut, type Element } from './aof-layout.ts';
import { openTestInstance } from './catalog-harness.ts';
import { seededRandom } from './crypto-ports.ts';
import { LOG, opened, START_MS } from './log-events.ts';
import { MemoryKeys } from './memory-keys.ts';
import { MemoryStore, type FaultHook } from './memory-store.ts';
import { steppingClock, type SteppingClock } from './stepping-clock.ts';

/** A key of the spool, as an archiver keeps it over restarts. */
export const SPOOL_KEY = { id: 'ab'.repeat(16), key: Buffer.alloc(32, 5) };

/** The timeline of a history. */
export const TIMELINE = 't1';

/**
 * A history that an archiver captures of a clock that is moved on by hand: segments are rolled,
 * sealed, stored and merged by its own code.
 */
export class LevelHistory {
  readonly store: MemoryStore;
  readonly keys: MemoryKeys;
  readonly clock: SteppingClock;
  readonly log: WriterLog;
  readonly copies: Copies;
  readonly levels: SegmentLevels;
  /** What the levels are given of the capture, for those who make others. */
  readonly levelsCapture: SegmentLevelsOptions['capture'];
  /** What goes wrong with the store from now on. */
  readonly faults: { hook: FaultHook | undefined };
  readonly backlog: Backlog;
  readonly options: ShipperOptions;
  /** Every command byte. */
  readonly stream: Buffer[] = [];
  readonly #written: { readonly second: number; readonly commands: readonly Element[] }[] = [];
  readonly stop = new AbortController();
  readonly logged: string[] = [];
  readonly #writer: TimelineWriter;
  readonly #random = seededRandom('levels');
  #position = 0;

  private constructor(parts: {
    readonly store: MemoryStore;
    readonly faults: LevelHistory['faults'];
    readonly keys: MemoryKeys;
    readonly clock: SteppingClock;
    readonly log: WriterLog;
    readonly copies: Copies;
    readonly spool: Spool;
  }) {
    const { store, keys, clock, log, copies, spool } = parts;
    [this.store, this.keys, this.clock] = [store, keys, clock];
    [this.log, this.copies, this.faults] = [log, copies, parts.faults];
    const { iid: instance, shard, writer } = LOG;
    const random = this.#random;
    const dataKeys = new DataKeys({ instance, keys, store, clock });
    const retry = {
      clock,
      signal: this.stop.signal,
      onRetry: () => undefined,
      onRecovered: () => undefined,
    };
    const append = async (event: WriterEvent, body?: Uint8Array): Promise<void> => {
      await log.append(event, body);
    };
    const place = { instance, shard, writer, store, spool, dataKeys, random };
    this.options = { ...retry, ...place, copies, append };
    this.backlog = new Backlog({
      ...this.options,
      log,
      onDurable: () => Promise.resolve(),
      onFailed: (cause) => void this.logged.push(String(cause)),
    });
    const note = (message: string): void => {
      this.logged.push(message);
    };
    const logger = { info: note, warn: note, error: note, child: () => logger };
    this.levelsCapture = { ...place, log, logger };
    this.levels = new SegmentLevels({
      ...retry,
      capture: this.levelsCapture,
      copies,
      append,
    });
    this.#writer = new TimelineWriter({
      timeline: TIMELINE,
      start: { offset: 0n, db: 0, inMulti: false, skipBytes: 0 },
      latestSecond: null,
      clock,
      limits: { bytesMax: 64 * 1024 * 1024 },
    });
    this.#writer.openFile(incrFile(), 0);
  }

  /** Begins a history in a folder: a timeline with an empty snapshot at its beginning. */
  static async open(
    dir: string,
    settings: { readonly copies?: Copies } = {},
  ): Promise<LevelHistory> {
    const faults: LevelHistory['faults'] = { hook: undefined };
    const shared = new MemoryStore();
    const store = shared.through((call) => faults.hook?.(call));
    const log = await openTestInstance(store);
    const history = new LevelHistory({
      store,
      faults,
      keys: new MemoryKeys(),
      clock: steppingClock(START_MS),
      log,
      copies: settings.copies ?? (await openCopies(dir)),
      spool: await Spool.open(join(dir, 'spool'), 1_000_000_000, 0),
    });
    await log.append(opened({ timeline: TIMELINE }));
    await history.snapshotOfNothing('bk_first');
    return history;
  }

  /** The second that is captured next. */
  get second(): number {
    return Math.floor(this.clock.now / 1000);
  }

  /** Stores an empty snapshot at the durable end: nothing may live there. */
  async snapshotOfNothing(backup: string): Promise<void> {
    const offset = this.log.state.timeline?.end ?? 0n;
    const from = (): Promise<number> => Promise.resolve(this.second);
    const job = { timeline: TIMELINE, offset, mode: 'automated', open: null } as const;
    await shipSnapshot({ ...job, backup, from }, this.options, this.backlog);
  }

  /**
   * Captures one roll of commands, and lets time pass.
   * @param seconds - How long the roll took.
   */
  async roll(elements: readonly Element[], seconds = 1): Promise<void> {
    const segment = this.#roll(elements, seconds);
    if (segment !== null) await this.#ship(segment, this.#writer.provenTo(segment.header.end));
  }

  /** What was written, and when. */
  written(): readonly { readonly second: number; readonly commands: readonly Element[] }[] {
    return this.#written;
  }

  /** Merges what is due. */
  async look(): Promise<void> {
    await this.levels.look(this.stop.signal);
  }

  #roll(elements: readonly Element[], seconds: number): RolledSegment | null {
    this.#written.push({ second: this.second, commands: elements });
    const { file, stream } = layOut([`#TS:${this.second}`, ...elements]);
    this.#writer.push(file, this.#position);
    this.#position += file.length;
    this.stream.push(stream);
    this.clock.now += seconds * 1000;
    const timeUs = (this.clock.now - 100) * 1000;
    this.#writer.addSample({ seq: 1, position: this.#position, timeUs });
    return this.#writer.roll();
  }

  /** As the shipper does, but for the spool: a day has 86,400 segments. */
  async #ship(segment: RolledSegment, provenTo: number | null): Promise<void> {
    const { header, payload, after, cursor } = segment;
    await this.copies.keep(header, payload);
    const plain = Buffer.concat(payload);
    const dataKey = await this.options.dataKeys.forSegment(plain.length);
    const kind = OBJECT_KIND.segment;
    const { iid, writer } = LOG;
    const { timeline, start } = header;
    const { bytes, digest } = sealBytes(plain, {
      ...{ dataKey, kind, compression: COMPRESSION.zstd, chunkLog2: 16, random: this.#random },
      identity: objectIdentity({ iid, writer, timeline, start, kind, key: null }),
    });
    const object = { key: null, size: bytes.length, digest, dekId: dataKey.id, kind };
    const event: SegmentStored = {
      type: 'SegmentStored',
      ...{ segment: header, after, object, provenTo, cursor, atMs: this.clock.now - 1 },
    };
    await this.log.append(event, bytes);
    this.#writer.settle(header.end);
  }
}

/** The copies of an archiver, as an earlier run left them. */
export async function openCopies(dir: string, bytesMax?: number): Promise<CopyFolder> {
  const { iid: instance, writer } = LOG;
  return CopyFolder.open({
    dir: join(dir, 'copies'),
    key: SPOOL_KEY,
    ...{ instance, writer, random: seededRandom('copies') },
    ...(bytesMax !== undefined && { bytesMax }),
  });
}
