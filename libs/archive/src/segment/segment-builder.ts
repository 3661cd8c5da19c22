import {
  KEY_EFFECT,
  SPEC_EXEC,
  swappedDatabases,
  visitKeys,
  type CommandBatch,
} from '@tidemark/aof';
import { TidemarkError, UsageError } from '@tidemark/core';
import { type Mark } from '../marks/mark.ts';
import { FRAME_RAW_MAX, packerOf, type FramePacker } from '../frames/zstd.ts';
import { type FrameLengths, type FrameState } from './frame-index.ts';
import { type SegmentHeader } from './header.ts';
import { FlowWriter } from './flow-writer.ts';
import { KeyCollector } from './key-collector.ts';
import { writeSections } from './segment-sections.ts';
import { StatsCounter } from './stats.ts';

const RAW_FIRST_BYTES = 65_536;
const OVERRUN_BYTES_MAX = 64 * 1_048_576;

/** What a segment starts from; the state is that of the command stream at `start`. */
export interface SegmentBuilderOptions {
  readonly timeline: string;
  readonly start: bigint;
  readonly db: number;
  readonly inMulti: boolean;
  /** Bytes of an unfinished command that the segment before holds. */
  readonly partialBytes: number;
  /** Raw bytes of a frame, at most and by default 1 MiB. */
  readonly frameBytes?: number;
  /** zstd level, 1 to 19. Default 1. */
  readonly level?: number;
  /** `full` tells when this many raw bytes are reached; 64 MiB above it more bytes are refused. */
  readonly bytesMax: number;
  /** Keep the list of keys however large it is beside the data. Default false. */
  readonly exact?: boolean;
  /** Goes into the header of a merged segment. Default: as captured. */
  readonly mergedLevel?: number;
}

/** A finished segment. */
export interface BuiltSegment {
  /** The plain content to be sealed, in order. */
  readonly payload: Buffer[];
  readonly header: SegmentHeader;
  /** Marks that lie after the segment's end; they belong to the next one. */
  readonly lateMarks: readonly Mark[];
}

/**
 * Builds one segment from decoded batches while they arrive: frames are packed as they fill, keys
 * and flow are collected in bounded memory.
 *
 * Batches must follow each other without a gap; the segment may start and end within a command, but
 * only between two pushes of the decoder. A command belongs to the segment in which it ends. After
 * `finish` the builder is spent.
 */
export class SegmentBuilder {
  readonly #options: SegmentBuilderOptions;
  readonly #frameBytes: number;
  readonly #packer: FramePacker;
  readonly #keys: KeyCollector;
  readonly #flow = new FlowWriter();
  readonly #stats = new StatsCounter();
  readonly #marks: Mark[] = [];
  readonly #payload: Buffer[] = [];
  readonly #lengths: FrameLengths[] = [];
  readonly #states: FrameState[] = [];
  readonly #commandFrames = { first: 0, last: 0 };
  #raw: Buffer = Buffer.alloc(0);
  #rawLength = 0;
  #rawBytes = 0;
  #commands = 0;
  #db: number;
  #maxDb: number;
  #inMulti: boolean;
  #commandEnd: number;
  #data: Buffer = Buffer.alloc(0);
  #finished = false;

  constructor(options: SegmentBuilderOptions) {
    const frameBytes = options.frameBytes ?? FRAME_RAW_MAX;
    if (!Number.isInteger(frameBytes) || frameBytes < 1 || frameBytes > FRAME_RAW_MAX) {
      throw new UsageError('TM_USAGE', `frameBytes ${frameBytes} is not in 1..${FRAME_RAW_MAX}`);
    }
    this.#options = options;
    this.#frameBytes = frameBytes;
    this.#packer = packerOf(options.level);
    this.#keys = new KeyCollector(options.timeline, options.start);
    this.#db = options.db;
    this.#maxDb = options.db;
    this.#inMulti = options.inMulti;
    this.#commandEnd = -options.partialBytes;
  }

  get start(): bigint {
    return this.#options.start;
  }

  /** Offset after the last byte taken. */
  get end(): bigint {
    return this.#options.start + BigInt(this.#rawBytes);
  }

  /** Raw bytes taken. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /** Commands that ended in this segment so far. */
  get commands(): number {
    return this.#commands;
  }

  /** Whether `bytesMax` is reached: the segment should be finished. */
  get full(): boolean {
    return this.#rawBytes >= this.#options.bytesMax;
  }

  /**
   * Takes a batch: its commands into index, flow and stats, its pieces into frames. Nothing of the
   * batch is kept.
   * @throws TidemarkError `TM_LIMIT` above the maximum, `TM_INTERNAL` after `finish`.
   */
  addBatch(batch: CommandBatch): void {
    if (this.#finished) throw spent();
    this.#data = batch.data;
    const shift = Number(batch.base - this.#options.start);
    for (let row = 0; row < batch.count; row++) {
      const start = (batch.start[row] as number) + shift;
      const end = (batch.end[row] as number) + shift;
      this.#noteFrames(start, end, batch.db[row] as number);
      this.#commandFrames.first = start < 0 ? 0 : Math.floor(start / this.#frameBytes);
      this.#commandFrames.last = Math.floor((end - 1) / this.#frameBytes);
      const effect = visitKeys(batch, row, this.#visitKey);
      if (effect > KEY_EFFECT.single) this.#flow.add(batch, row, start, effect);
      this.#stats.add(batch, row);
      this.#db = batch.db[row] as number;
      if (this.#db > this.#maxDb) this.#maxDb = this.#db;
      if (effect === KEY_EFFECT.swapDb) this.#noteSwap(batch, row);
      this.#inMulti = batch.inMulti[row] === 1 && batch.spec[row] !== SPEC_EXEC;
      this.#commandEnd = end;
    }
    this.#commands += batch.count;
    for (const piece of batch.pieces) this.#addBytes(piece);
  }

  /** Takes a mark; of an earlier segment's offsets too, when it came late. In any order. */
  addMark(mark: Mark): void {
    if (this.#finished) throw spent();
    this.#marks.push(mark);
  }

  /**
   * Packs what is left and writes the footer.
   * @throws TidemarkError `TM_INTERNAL` when the pieces of a command that ended are missing.
   */
  finish(): BuiltSegment {
    if (this.#finished) throw spent();
    if (this.#commandEnd > this.#rawBytes) {
      throw new TidemarkError('TM_INTERNAL', 'a segment was ended between two batches of a push', {
        context: { commandEnd: this.#commandEnd, rawBytes: this.#rawBytes },
      });
    }
    this.#finished = true;
    if (this.#rawLength > 0) this.#packFrame();
    this.#noteFrames(this.#commandEnd, this.#rawBytes, null);
    const { timeline, start, db, inMulti, partialBytes, exact = false } = this.#options;
    const { mergedLevel } = this.#options;
    const { end } = this;
    const marks = this.#marks.filter((mark) => mark.offset <= end).sort(byOffset);
    const seconds = marks.map((mark) => Math.floor(mark.notBeforeMs / 1000));
    const { tail, header } = writeSections({
      packer: this.#packer,
      lengths: this.#lengths,
      states: this.#states,
      marks,
      counts: this.#stats.counts(),
      keys: this.#keys,
      flow: this.#flow.finish(),
      exact,
      header: {
        timeline,
        start,
        end,
        db,
        maxDb: this.#maxDb,
        inMulti,
        partialBytes,
        commands: this.#commands,
        rawBytes: this.#rawBytes,
        firstSecond: seconds.reduce<number | null>((a, b) => Math.min(a ?? b, b), null),
        lastSecond: seconds.reduce<number | null>((a, b) => Math.max(a ?? b, b), null),
        frames: this.#lengths.length,
        ...(mergedLevel !== undefined && { level: mergedLevel }),
      },
    });
    return {
      payload: [...this.#payload, ...tail],
      header,
      lateMarks: this.#marks.filter((mark) => mark.offset > end),
    };
  }

  readonly #visitKey = (db: number, start: number, end: number): void => {
    if (db > this.#maxDb) this.#maxDb = db;
    this.#keys.add(db, this.#data, start, end, this.#commandFrames);
  };

  #noteSwap(batch: CommandBatch, row: number): void {
    const { first, second } = swappedDatabases(batch, row) ?? { first: 0, second: 0 };
    this.#maxDb = Math.max(this.#maxDb, first, second);
  }

  /**
   * Notes the state at every frame that begins within the command at `start`, before `end`.
   * @param dbAfter - Database selected at `end`; null for a command that is not whole.
   */
  #noteFrames(start: number, end: number, dbAfter: number | null): void {
    for (;;) {
      const frameStart = this.#states.length * this.#frameBytes;
      if (frameStart >= end) return;
      const partialBytes = Math.max(0, frameStart - start);
      // Who begins after a SELECT would be in the wrong database.
      const known = partialBytes > 0 && dbAfter === this.#db;
      const restBytes = known ? end - frameStart : 0;
      this.#states.push({ db: this.#db, inMulti: this.#inMulti, partialBytes, restBytes });
    }
  }

  #addBytes(piece: Uint8Array): void {
    if (this.#rawBytes + piece.length > this.#options.bytesMax + OVERRUN_BYTES_MAX) {
      throw new TidemarkError('TM_LIMIT', 'a segment was not ended in time', {
        context: { rawBytes: this.#rawBytes, bytesMax: this.#options.bytesMax },
      });
    }
    this.#rawBytes += piece.length;
    for (let at = 0; at < piece.length;) {
      const length = Math.min(piece.length - at, this.#frameBytes - this.#rawLength);
      this.#reserve(this.#rawLength + length);
      this.#raw.set(piece.subarray(at, at + length), this.#rawLength);
      this.#rawLength += length;
      at += length;
      if (this.#rawLength === this.#frameBytes) this.#packFrame();
    }
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#raw.length) return;
    const size = bytes <= RAW_FIRST_BYTES ? RAW_FIRST_BYTES : this.#frameBytes;
    const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(size, bytes), this.#frameBytes));
    larger.set(this.#raw.subarray(0, this.#rawLength));
    this.#raw = larger;
  }

  #packFrame(): void {
    const frame = this.#packer.pack(this.#raw.subarray(0, this.#rawLength));
    this.#payload.push(frame);
    this.#lengths.push({ length: frame.length, rawLength: this.#rawLength });
    this.#rawLength = 0;
  }
}

function spent(): TidemarkError {
  return new TidemarkError('TM_INTERNAL', 'the segment is finished');
}

function byOffset(a: Mark, b: Mark): number {
  if (a.offset !== b.offset) return a.offset < b.offset ? -1 : 1;
  return a.notBeforeMs - b.notBeforeMs;
}
