import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import type { HoleReason } from '@tidemark/archive';
import { openCatalog, type Catalog, type TimelineOpened } from '@tidemark/catalog';
import type { ClockJump } from '../../services/archiver/src/capture/clock-watch.ts';
import {
  TimelineWriter,
  type SegmentLimits,
} from '../../services/archiver/src/capture/timeline-writer.ts';
import { fileBytes } from '../../services/archiver/src/ship/file-bytes.ts';
import { shipSnapshot } from '../../services/archiver/src/ship/snapshot-shipper.ts';
import type { RestoreEnvironment } from '../../services/restorer/src/run/environment.ts';
import { incrFile, layOut, type Element } from './aof-layout.ts';
import { openTestInstance, syncTest } from './catalog-harness.ts';
import { seededRandom } from './crypto-ports.ts';
import { closed, heartbeat, LOG, opened, START_MS } from './log-events.ts';
import { MemoryStore } from './memory-store.ts';
import { RdbBuilder } from './rdb-builder.ts';
import { openShipRun, SHIP_KEYS, type ShipRun } from './ship-harness.ts';
import { steppingClock } from './stepping-clock.ts';
import { TempDir } from './temp-dir.ts';

/** The first second of every test archive. */
export const FIRST = START_MS / 1000;

/** Database 0 with one key. */
export const ONE_KEY: Buffer = new RdbBuilder({ version: 10 })
  .selectDb(0)
  .string('old', 'value')
  .build();

/**
 * An archive in memory, written by the shipping half of an archiver: what is written goes into one
 * stream, which a test rolls where it likes.
 */
export class TestArchive implements AsyncDisposable {
  readonly store: MemoryStore;
  readonly #temp: TempDir;
  readonly #run: ShipRun;
  readonly #catalog: Catalog;
  #writer: TimelineWriter | null = null;
  #position = 0;
  #limits: SegmentLimits = { bytesMax: 64 * 1024 * 1024 };

  private constructor(temp: TempDir, store: MemoryStore, run: ShipRun) {
    this.#temp = temp;
    this.store = store;
    this.#run = run;
    this.#catalog = openCatalog({ path: join(temp.path, 'catalog.db') });
  }

  /** @param frameBytes - Raw bytes of a frame; default: as an archiver makes them. */
  static async open(frameBytes?: number): Promise<TestArchive> {
    const temp = await TempDir.create();
    const store = new MemoryStore();
    await openTestInstance(store);
    const archive = new TestArchive(temp, store, await openShipRun(temp.path, store));
    if (frameBytes !== undefined) archive.#limits = { ...archive.#limits, frameBytes };
    return archive;
  }

  /** Opens a timeline with a snapshot of `rdb` at its start. */
  static async begun(rdb: Buffer = ONE_KEY, frameBytes?: number): Promise<TestArchive> {
    const archive = await TestArchive.open(frameBytes);
    await archive.begin('t1');
    await archive.snapshot('bk-0', rdb);
    return archive;
  }

  get writer(): TimelineWriter {
    if (this.#writer === null) throw new Error('no timeline is open');
    return this.#writer;
  }
  /** Stream offset after everything that was written. */
  get end(): bigint {
    return this.writer.end;
  }

  async begin(
    timeline: string,
    reason: 'attach' | HoleReason = 'attach',
    node: Partial<TimelineOpened['node']> = {},
  ): Promise<void> {
    const previous = this.#run.log.state.timeline?.timeline ?? null;
    const event = opened({ timeline, previous, reason });
    await this.#run.log.append({ ...event, node: { ...event.node, ...node } });
    this.#writer = new TimelineWriter({
      timeline,
      start: { offset: 0n, db: 0, inMulti: false, skipBytes: 0 },
      latestSecond: null,
      clock: this.#run.clock,
      limits: this.#limits,
    });
    this.#writer.openFile(incrFile(), 0);
    this.#position = 0;
  }

  /** Writes commands and annotations; gives the stream offset after them. */
  write(...elements: readonly Element[]): bigint {
    const { file } = layOut(elements);
    this.writer.push(file, this.#position);
    this.#position += file.length;
    return this.end;
  }

  /** Writes a piece of a log as it is; gives the stream offset after it. */
  writeLog(bytes: Buffer): bigint {
    this.writer.push(bytes, this.#position);
    this.#position += bytes.length;
    return this.end;
  }

  /** Takes a sample at the present place. */
  sample(second: number, ms = 0, jumps: readonly ClockJump[] = []): void {
    const timeUs = (second * 1000 + ms) * 1000;
    this.writer.addSample({ seq: 1, position: this.#position, timeUs, jumps });
  }

  /** Ships what was written since the last roll, and the steps of the clock. */
  async roll(): Promise<void> {
    if (!(await this.rollIfAny())) throw new Error('nothing was written');
  }

  /** As `roll`, also where nothing can be shipped: a writer keeps bytes that may begin a `#` line. */
  async rollIfAny(): Promise<boolean> {
    const { log, ship } = this.#run;
    const { timeline } = this.writer;
    const steps = this.writer.takeSteps();
    for (const { segment, provenTo, step } of steps) {
      if (segment !== null) await ship(segment, provenTo);
      await log.append({ type: 'ClockStepped', timeline, ...step, atMs: START_MS });
    }
    const segment = this.writer.roll();
    if (segment !== null) await ship(segment, this.writer.provenTo(segment.header.end));
    return segment !== null || steps.length > 0;
  }

  /** A sign of life that proves a second. */
  async prove(second: number): Promise<void> {
    const timeline = this.#run.log.state.timeline!;
    const place = { timeline: timeline.timeline, provenTo: second };
    await this.#run.log.append(heartbeat(timeline.end, place));
  }

  async close(reason: HoleReason): Promise<void> {
    const { timeline, end } = this.#run.log.state.timeline!;
    await this.#run.log.append(closed(end, { timeline, reason }));
    this.#writer = null;
  }

  /** Stores a snapshot at the present end. */
  async snapshot(backup: string, rdb: Buffer = ONE_KEY, from: number = FIRST): Promise<void> {
    const path = join(this.#temp.path, 'base.rdb');
    await writeFile(path, rdb);
    const { timeline, end: offset } = this.writer;
    const job = { backup, open: fileBytes(path), timeline, offset, mode: 'manual' as const };
    const { options, backlog } = this.#run;
    await shipSnapshot({ ...job, from: () => Promise.resolve(from) }, options, backlog);
  }

  /** What a restore runs on, with the catalog up to date. */
  async environment(nowMs = START_MS + 3_600_000): Promise<RestoreEnvironment> {
    await syncTest(this.#catalog, this.store);
    return {
      ...{ store: this.store, keys: SHIP_KEYS, catalog: this.#catalog },
      clock: steppingClock(nowMs),
      random: seededRandom('restore'),
      stateDir: this.#temp.path,
      signal: new AbortController().signal,
      original: null,
      onProgress: () => undefined,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#catalog.close();
    await this.#temp[Symbol.asyncDispose]();
  }
}

/** The instance that every test archive holds. */
export const ARCHIVED: string = LOG.iid;
