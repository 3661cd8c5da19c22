import type { IncrFile } from '@tidemark/aof';
import { MarkBook, SegmentBuilder, type Mark, type SegmentHeader } from '@tidemark/archive';
import type { StreamState, TailCursorJson } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { CommandIntake, type IntakeStart } from './command-intake.ts';

/** Samples that wait for the tail to reach their position. */
const WAITING_SAMPLES_MAX = 64;

/** Where a sample stands in the files. */
export interface SamplePlace {
  readonly seq: number;
  /** Inode of the file, decimal, where it is known: the server may use a sequence number again. */
  readonly ino?: string;
  readonly position: number;
  readonly timeUs: number;
}

/** A segment that is complete and not yet sealed. */
export interface RolledSegment {
  readonly payload: readonly Buffer[];
  readonly header: SegmentHeader;
  readonly after: StreamState;
  readonly cursor: TailCursorJson | null;
}

/** Where an INCR file begins in the timeline, and the latest second seen before it. */
export interface FileStart {
  readonly offset: bigint;
  readonly secondBefore: number | null;
}

/** Limits of one segment. */
export interface SegmentLimits {
  readonly bytesMax: number;
}

/**
 * Builds the segments of one open timeline: takes physical bytes and samples in, gives finished
 * segments out. Talks to nobody.
 */
export class TimelineWriter {
  readonly timeline: string;
  readonly #marks = new MarkBook();
  readonly #intake: CommandIntake;
  readonly #clock: Clock;
  readonly #limits: SegmentLimits;
  readonly #fileStarts = new Map<number, FileStart>();
  #builder: SegmentBuilder;
  #builderSinceMs: number | null = null;
  #waiting: SamplePlace[] = [];
  #seq = -1;
  /** Inodes of the files that were opened, by sequence number. */
  readonly #inodes = new Map<number, string>();
  /** End of the last segment that was rolled, and the latest second that a mark in one names. */
  #rolledEnd: bigint;
  #rolledSecond: number | null = null;
  /** Latest second of the marks that came too late for the segment they lie in. */
  #lateSecond: number | null = null;
  #firstMark: Mark | null = null;
  #latestSecond: number | null;

  constructor(options: {
    readonly timeline: string;
    readonly start: IntakeStart;
    readonly latestSecond: number | null;
    readonly clock: Clock;
    readonly limits: SegmentLimits;
  }) {
    this.timeline = options.timeline;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#intake = new CommandIntake(options.start);
    this.#rolledEnd = this.#intake.end;
    this.#latestSecond = options.latestSecond;
    this.#builder = this.#newBuilder(options.start.skipBytes);
  }

  /** Stream offset up to which bytes are in segments, built or being built. */
  get end(): bigint {
    return this.#intake.end;
  }
  /** Raw bytes of the segment being built. */
  get rawBytes(): number {
    return this.#builder.rawBytes;
  }
  /** Milliseconds since the first byte of the segment being built; 0 when it is empty. */
  get ageMs(): number {
    return this.#builderSinceMs === null ? 0 : this.#clock.monotonicMs() - this.#builderSinceMs;
  }
  /** Sequence number and physical position of the tail. */
  get place(): { readonly seq: number; readonly position: number } {
    return { seq: this.#seq, position: this.#intake.position };
  }

  /** Where an INCR file of this timeline begins; null when it was not opened here. */
  fileStart(seq: number): FileStart | null {
    return this.#fileStarts.get(seq) ?? null;
  }

  /** Forgets files before this one: no base can be offered for them any more. */
  forgetFilesBefore(seq: number): void {
    for (const known of this.#fileStarts.keys()) {
      if (known < seq) this.#fileStarts.delete(known);
    }
    for (const known of this.#inodes.keys()) if (known < seq) this.#inodes.delete(known);
  }

  /**
   * Goes on with an INCR file from a physical position.
   * @param cursor - The durable cursor that led there, if one did.
   * @param start - Where the commands of the file begin, when what lies between it and `position`
   *   was taken in already, from another file; null when that is not known.
   */
  openFile(
    file: IncrFile,
    position: number,
    cursor: TailCursorJson | null = null,
    start: number | null = position === 0 ? 0 : null,
  ): void {
    this.#seq = file.seq;
    this.#inodes.set(file.seq, file.ino);
    this.#intake.open(file, position, cursor);
    if (start !== null) {
      this.#fileStarts.set(file.seq, {
        offset: this.#intake.taken - BigInt(position - start),
        secondBefore: this.#latestSecond,
      });
    }
  }

  /** Takes bytes of the open file in. Splits them where a waiting sample stands. */
  push(data: Buffer, position: number): void {
    let from = 0;
    for (const sample of this.#samplesInside(position, data.length)) {
      const upTo = sample.position - position;
      if (upTo > from) this.#take(data.subarray(from, upTo), position + from);
      from = Math.max(from, upTo);
      this.#markSample(this.#intake.taken, sample.timeUs);
    }
    if (from < data.length) this.#take(data.subarray(from), position + from);
  }

  /** Takes a sample in: at once when its position is known, else when the tail gets there. */
  addSample(sample: SamplePlace): void {
    const opened = this.#hasOpened(sample);
    const ahead =
      sample.seq > this.#seq ||
      (opened && sample.seq === this.#seq && sample.position > this.#intake.position);
    if (!ahead) {
      if (!opened) return; // another file: its bytes are no part of this timeline
      const offset = this.#intake.map.offsetOf(sample.seq, sample.position);
      if (offset !== null) this.#markSample(offset, sample.timeUs);
      else if (sample.seq === this.#seq && sample.position === this.#intake.position) {
        this.#markSample(this.#intake.taken, sample.timeUs);
      }
      return;
    }
    this.#waiting.push(sample);
    // The oldest is the least useful: a later one proves more.
    if (this.#waiting.length > WAITING_SAMPLES_MAX) this.#waiting.shift();
  }

  /** The first mark of this run, when there is one. */
  get firstMark(): Mark | null {
    return this.#firstMark;
  }

  /**
   * The latest second proven once everything before `durable` is stored, or null.
   *
   * A mark that came after the segment it lies in was rolled stands in no segment before the next
   * one. Until then its second is not proven by marks at the end either: the cut would be the end,
   * with commands of later seconds before it.
   */
  provenTo(durable: bigint): number | null {
    const proven = this.#marks.provenTo(durable);
    const [late, rolled] = [this.#lateSecond, this.#rolledSecond];
    if (proven === null || late === null || (rolled !== null && late <= rolled)) return proven;
    return rolled === null ? null : Math.min(proven, rolled - 1);
  }

  /** Forgets marks of segments that are stored. */
  settle(durable: bigint): void {
    this.#marks.forget(durable);
  }

  /** Ends the segment being built. Null when it holds neither bytes nor marks. */
  roll(): RolledSegment | null {
    if (this.#builder.rawBytes === 0) return null;
    for (const mark of this.#marks.take(this.#intake.end)) this.#builder.addMark(mark);
    const { payload, header } = this.#builder.finish();
    this.#rolledEnd = header.end;
    this.#rolledSecond = later(this.#rolledSecond, header.lastSecond);
    this.#lateSecond = null;
    const after: StreamState = {
      db: this.#intake.db,
      inMulti: this.#intake.inMulti,
      partialBytes: this.#intake.partialBytes,
    };
    this.#builder = this.#newBuilder(after.partialBytes);
    this.#builderSinceMs = null;
    return { payload, header, after, cursor: this.#intake.cursor() };
  }

  #newBuilder(partialBytes: number): SegmentBuilder {
    return new SegmentBuilder({
      timeline: this.timeline,
      start: this.#intake.end,
      db: this.#intake.db,
      inMulti: this.#intake.inMulti,
      partialBytes,
      bytesMax: this.#limits.bytesMax,
    });
  }

  #take(data: Buffer, position: number): void {
    const { batches, marks } = this.#intake.push(data, position);
    for (const batch of batches) this.#builder.addBatch(batch);
    for (const { offset, second } of marks) {
      this.#noteMark(this.#marks.addAnnotation(offset, second));
    }
    if (this.#builder.rawBytes > 0) this.#builderSinceMs ??= this.#clock.monotonicMs();
  }

  #markSample(offset: bigint, timeUs: number): void {
    this.#noteMark(this.#marks.addSample(offset, timeUs));
  }

  #noteMark(mark: Mark): void {
    this.#firstMark ??= mark;
    const second = Math.floor(mark.notBeforeMs / 1000);
    this.#latestSecond = later(this.#latestSecond, second);
    if (mark.offset < this.#rolledEnd) this.#lateSecond = later(this.#lateSecond, second);
  }

  #hasOpened({ seq, ino }: SamplePlace): boolean {
    const known = this.#inodes.get(seq);
    return known !== undefined && (ino === undefined || ino === known);
  }

  #samplesInside(position: number, length: number): SamplePlace[] {
    const inside: SamplePlace[] = [];
    const rest: SamplePlace[] = [];
    for (const sample of this.#waiting) {
      const open = sample.seq === this.#seq && this.#hasOpened(sample);
      const here = open && sample.position > position && sample.position <= position + length;
      if (here) inside.push(sample);
      else if (open || sample.seq > this.#seq) rest.push(sample);
    }
    this.#waiting = rest;
    return inside.sort((a, b) => a.position - b.position);
  }
}

function later(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.max(a, b);
}
