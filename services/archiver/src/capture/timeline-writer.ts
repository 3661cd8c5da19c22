import type { IncrFile } from '@tidemark/aof';
import {
  MarkBook,
  SegmentBuilder,
  type ClockStep,
  type Mark,
  type SegmentHeader,
} from '@tidemark/archive';
import type { StreamState, TailCursorJson } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { findBackLine } from './back-line.ts';
import type { ClockJump } from './clock-watch.ts';
import { CommandIntake, type IntakeStart } from './command-intake.ts';
import { StepFinder, type FoundStep } from './step-finder.ts';
import { WaitingSamples, type SamplePlace } from './waiting-samples.ts';

/** How long a step found at an annotation waits for the sample that tells its bounds. */
const STEP_WAIT_MS = 1_000;

/** A segment that is complete and not yet sealed. */
export interface RolledSegment {
  readonly payload: readonly Buffer[];
  readonly header: SegmentHeader;
  readonly after: StreamState;
  readonly cursor: TailCursorJson | null;
}

/**
 * What a step of the clock completed: the segment before it, if there is one, then the step. It may
 * be logged once that segment is.
 */
export interface SteppedOver {
  readonly segment: RolledSegment | null;
  /** What the segment proves. */
  readonly provenTo: number | null;
  readonly step: ClockStep;
}

/** Where an INCR file begins in the timeline, and the latest second seen before it. */
export interface FileStart {
  readonly offset: bigint;
  readonly secondBefore: number | null;
}

/** Limits of one segment. */
export interface SegmentLimits {
  readonly bytesMax: number;
  /** Raw bytes of a frame. Default: that of `SegmentBuilder`. */
  readonly frameBytes?: number;
}

/**
 * Builds the segments of one open timeline: takes physical bytes and samples in, gives finished
 * segments out. Talks to nobody.
 */
export class TimelineWriter {
  readonly timeline: string;
  /** Marks since the last step back of the clock. */
  #marks = new MarkBook();
  readonly #finder: StepFinder;
  #steps: SteppedOver[] = [];
  #stepsSinceMs: number | null = null;
  /** A step found at an annotation, until the next sample tells its bounds. */
  #annotated: ClockStep | null = null;
  #runId: string | null = null;
  readonly #intake: CommandIntake;
  readonly #clock: Clock;
  readonly #limits: SegmentLimits;
  readonly #fileStarts = new Map<number, FileStart>();
  #builder: SegmentBuilder;
  #builderSinceMs: number | null = null;
  /** Samples ahead of the tail. */
  readonly waiting: WaitingSamples = new WaitingSamples();
  #seq = -1;
  /** Name of the open file; of a replication stream, its history. */
  #name = '';
  /** Inodes of the files that were opened, by sequence number. */
  readonly #inodes = new Map<number, string>();
  /** End of the last segment that was rolled, and the latest second that a mark in one names. */
  #rolledEnd: bigint;
  #rolledSecond: number | null = null;
  /** Latest second of the marks that came too late for the segment they lie in, and where. */
  #lateSecond: number | null = null;
  #lateOffset: bigint | null = null;
  #firstMark: Mark | null = null;
  #latestSecond: number | null;

  constructor(options: {
    readonly timeline: string;
    readonly start: IntakeStart;
    readonly latestSecond: number | null;
    /** Steps back of the clock before `start`. Default: none. */
    readonly stretch?: number;
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
    const { stretch = 0, latestSecond } = options;
    this.#finder = new StepFinder({ stretch, latestSecond, offset: this.#intake.end });
    // A sample at the very end of the last segment stands in none. Without it, what was written while
    // nobody took samples would seem to belong to the second that the log has proven.
    const { offset, inMulti, skipBytes } = options.start;
    const cuttable = !inMulti && skipBytes === 0; // a restore stops at marks as they stand
    if (latestSecond !== null && cuttable) this.#marks.addProven(offset, latestSecond * 1000);
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

  /**
   * Where an INCR file of this timeline begins; null when it was not opened here.
   * @param position - A physical position in the open file instead, between which and the place of
   *   the tail only commands stand.
   */
  fileStart(seq: number, position?: number): FileStart | null {
    if (position === undefined) return this.#fileStarts.get(seq) ?? null;
    if (seq !== this.#seq) return null;
    const offset = this.#intake.taken - BigInt(this.#intake.position - position);
    if (offset < 0n || offset > this.#intake.taken) return null;
    return { offset, secondBefore: offset === 0n ? null : this.#latestSecond };
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
    if (file.seq === this.#seq && file.name !== this.#name)
      this.waiting.endHistory(this.#name, position);
    this.#seq = file.seq;
    this.#name = file.name;
    this.#inodes.set(file.seq, file.ino);
    this.#intake.open(file, position, cursor);
    if (start !== null) {
      this.#fileStarts.set(file.seq, {
        offset: this.#intake.taken - BigInt(position - start),
        secondBefore: this.#latestSecond,
      });
    }
  }

  /** The timeline begins with this file: its first base stands at offset 0. */
  noteFirstFile(file: IncrFile): void {
    this.#fileStarts.set(file.seq, { offset: 0n, secondBefore: null });
  }

  /** Takes bytes of the open file in. Splits them where a waiting sample stands. */
  push(data: Buffer, position: number): void {
    let from = 0;
    const file = { seq: this.#seq, isOpen: (one: SamplePlace) => this.#hasOpened(one) };
    for (const sample of this.waiting.inside(file, position, data.length)) {
      const upTo = sample.position - position;
      if (upTo > from) this.#takeLines(data.subarray(from, upTo), position + from);
      from = Math.max(from, upTo);
      this.#markSample(this.#intake.taken, sample);
    }
    if (from < data.length) this.#takeLines(data.subarray(from), position + from);
  }

  /** Takes a sample in: at once when its position is known, else when the tail gets there. */
  addSample(sample: SamplePlace): void {
    const opened = this.#hasOpened(sample);
    const ahead =
      sample.seq > this.#seq ||
      (opened && sample.seq === this.#seq && sample.position > this.#intake.position);
    if (!ahead) {
      if (!opened) {
        this.waiting.drop(sample);
        return;
      } // its bytes are no part of this timeline
      const offset = this.#intake.map.offsetOf(sample.seq, sample.position);
      const here = sample.seq === this.#seq && sample.position === this.#intake.position;
      if (offset !== null) this.#markSample(offset, sample);
      else if (here) this.#markSample(this.#intake.taken, sample);
      else this.waiting.drop(sample);
      return;
    }
    this.waiting.add(sample);
  }

  /** How often the clock stepped back so far. */
  get stretch(): number {
    return this.#finder.stretch;
  }

  /** Whether steps of the clock should be logged now. */
  get stepDue(): boolean {
    if (this.#stepsSinceMs === null) return false;
    const ageMs = this.#clock.monotonicMs() - this.#stepsSinceMs;
    return this.#annotated === null || this.#steps.length > 1 || ageMs >= STEP_WAIT_MS;
  }

  /** What steps of the clock completed, in order; it comes before what `roll` gives. */
  takeSteps(): readonly SteppedOver[] {
    const steps = this.#steps;
    this.#steps = [];
    this.#stepsSinceMs = null;
    return steps;
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
    this.#lateOffset = null;
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
      ...this.#limits,
    });
  }

  /** Takes bytes in; an annotation that tells of a step back ends what stands before it. */
  #takeLines(data: Buffer, position: number): void {
    let from = 0;
    for (;;) {
      const line = findBackLine(data, from, (second) => this.#finder.isBack(second));
      if (line === null) break;
      if (line.at > from) this.#take(data.subarray(from, line.at), position + from);
      from = line.at;
      // Within a command it is a part of a value.
      if (this.#intake.taken === this.#intake.end && this.#intake.partialBytes === 0) {
        this.#annotate(this.#intake.end, line.second);
      } else {
        this.#take(data.subarray(from, from + 1), position + from);
        from += 1;
      }
    }
    if (from < data.length) this.#take(data.subarray(from), position + from);
  }

  #annotate(offset: bigint, second: number): void {
    this.#annotated = this.#step(this.#finder.atAnnotation(offset, second));
  }

  #take(data: Buffer, position: number): void {
    const { batches, marks } = this.#intake.push(data, position);
    for (const batch of batches) this.#builder.addBatch(batch);
    for (const { offset, second } of marks) {
      // Not seen before: the line came in two pieces.
      if (this.#finder.isBack(second)) this.#annotate(offset, second);
      this.#noteMark(this.#marks.addAnnotation(offset, second));
    }
    if (this.#builder.rawBytes > 0) this.#builderSinceMs ??= this.#clock.monotonicMs();
  }

  #markSample(offset: bigint, sample: SamplePlace): void {
    const { timeUs, runId } = sample;
    if (runId !== undefined && runId !== this.#runId) {
      // Nobody knows whether the log of its predecessor was stamped up to the end.
      if (this.#runId !== null) this.#marks.annotationsInterrupted();
      this.#runId = runId;
    }
    const jumps = this.waiting.jumpsUpTo(sample);
    const annotated = this.#annotated;
    this.#annotated = null;
    if (annotated !== null) this.#widen(annotated, jumps);
    const timeMs = Math.floor(timeUs / 1000);
    const found = this.#finder.atSample(offset, timeMs, jumps, annotated !== null);
    for (const step of found) this.#step(step);
    this.#noteMark(this.#marks.addSample(offset, timeUs));
  }

  /** The clock watch knows more of a step than the annotation it was found at. */
  #widen(annotated: ClockStep, jumps: readonly ClockJump[]): void {
    const jump = jumps.find(({ direction }) => direction === 'back');
    const at = this.#steps.findIndex(({ step }) => step === annotated);
    const known = this.#steps[at];
    if (jump === undefined || known === undefined) return;
    const fromMs = Math.max(annotated.fromMs, jump.fromMs);
    const toMs = Math.min(annotated.toMs, jump.toMs);
    this.#steps[at] = { ...known, step: { ...annotated, fromMs, toMs } };
  }

  /** Ends the segment being built at a step; after one back marks are counted anew. */
  #step(found: FoundStep): ClockStep {
    const segment = this.roll();
    const end = this.#intake.end;
    const offset = least(found.offset, end);
    // A mark that no segment holds is lost with the stretch: the cut before it is not known.
    const before = least(least(found.before, offset), this.#lateOffset ?? offset);
    const provenTo = this.provenTo(end);
    const back = found.direction === 'back';
    const step: ClockStep = { ...found, before, offset, provenTo: back ? provenTo : null };
    this.#steps.push({ segment, provenTo, step });
    this.#stepsSinceMs ??= this.#clock.monotonicMs();
    if (!back) return step;
    this.#marks = new MarkBook();
    this.#rolledSecond = null;
    this.#lateSecond = null;
    this.#lateOffset = null;
    this.#latestSecond = Math.floor(step.sinceMs / 1000);
    return step;
  }

  #noteMark(mark: Mark): void {
    this.#firstMark ??= mark;
    this.#finder.note(mark);
    const second = Math.floor(mark.notBeforeMs / 1000);
    this.#latestSecond = later(this.#latestSecond, second);
    if (mark.offset >= this.#rolledEnd) return;
    this.#lateSecond = later(this.#lateSecond, second);
    this.#lateOffset = least(this.#lateOffset ?? mark.offset, mark.offset);
  }

  #hasOpened({ seq, ino }: SamplePlace): boolean {
    const known = this.#inodes.get(seq);
    return known !== undefined && (ino === undefined || ino === known);
  }
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function later(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.max(a, b);
}
