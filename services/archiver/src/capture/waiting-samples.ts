import type { ClockJump } from './clock-watch.ts';

/** Samples that wait for the tail to reach their position: two a second for four hours. */
export const WAITING_SAMPLES_MAX = 28_800;

/** Where a sample stands in the files. */
export interface SamplePlace {
  readonly seq: number;
  /** Inode of the file, decimal, where it is known: the server may use a sequence number again. */
  readonly ino?: string;
  readonly position: number;
  /** The replication history that the position is one of; absent in a file of the server. */
  readonly replid?: string;
  readonly timeUs: number;
  /** The server process that was asked. */
  readonly runId?: string;
  /** Steps of its clock since the sample before. */
  readonly jumps?: readonly ClockJump[];
}

/**
 * Samples ahead of the tail, and the steps of the clock that no placed sample has told of yet.
 *
 * A tail may stand still for hours while the server writes on, and where its log has no time stamps
 * samples are all that tells of those seconds. So they are thinned and never lost: of each second the
 * first and the last stay, and when there are too many every other one of the older half. The marks
 * that are left are true, with the bounds of their own: a cut between them is later, and says so.
 */
export class WaitingSamples {
  /** In the order of their places; of one place, as they came. */
  #waiting: SamplePlace[] = [];
  #jumps: ClockJump[] = [];

  /** How many wait. */
  get count(): number {
    return this.#waiting.length;
  }

  /** Takes a sample that the tail has yet to reach. */
  add(sample: SamplePlace): void {
    let at = this.#waiting.length;
    while (at > 0 && comesAfter(this.#waiting[at - 1], sample)) at--;
    this.#waiting.splice(at, 0, sample);
    if (at === this.#waiting.length - 1) this.#thinSecond();
    if (this.#waiting.length > WAITING_SAMPLES_MAX) this.#thinOlderHalf();
  }

  /** A sample has no place: the steps before it belong to the next one that has. */
  drop(sample: SamplePlace | undefined): void {
    if (sample?.jumps !== undefined) this.#jumps.push(...sample.jumps);
  }

  /**
   * A history ends at `position`, and another one goes on there in the same file: behind it other
   * bytes come than those that samples of the ended one speak of.
   */
  endHistory(replid: string, position: number): void {
    const isGone = (one: SamplePlace): boolean => one.replid === replid && one.position > position;
    for (const sample of this.#waiting) if (isGone(sample)) this.drop(sample);
    this.#waiting = this.#waiting.filter((sample) => !isGone(sample));
  }

  /** The steps of the clock since the last placed sample, told by this one. */
  jumpsUpTo({ jumps = [] }: SamplePlace): readonly ClockJump[] {
    const all = [...this.#jumps, ...jumps];
    this.#jumps = [];
    return all;
  }

  /**
   * The samples that stand after `position` and within `length` bytes of the open file, in order;
   * those before it, and those of files that are gone, are dropped.
   */
  inside(
    file: { readonly seq: number; readonly isOpen: (sample: SamplePlace) => boolean },
    position: number,
    length: number,
  ): readonly SamplePlace[] {
    const inside: SamplePlace[] = [];
    let passed = 0;
    for (const sample of this.#waiting) {
      const { seq } = file;
      if (sample.seq > seq || (sample.seq === seq && sample.position > position + length)) break;
      passed += 1;
      if (sample.seq === seq && file.isOpen(sample) && sample.position > position) {
        inside.push(sample);
      } else this.drop(sample);
    }
    if (passed > 0) this.#waiting.splice(0, passed);
    return inside;
  }

  /** Gives up those that wait for bytes of a replication stream that is not open. */
  takeAhead(seq: number): readonly SamplePlace[] {
    const isAhead = (one: SamplePlace): boolean => one.replid !== undefined && one.seq > seq;
    const ahead = this.#waiting.filter(isAhead);
    this.#waiting = this.#waiting.filter((one) => !isAhead(one));
    return ahead;
  }

  /** Of three of one second the one between says nothing that a cut could use. */
  #thinSecond(): void {
    const [first, middle, last] = this.#waiting.slice(-3);
    if (first === undefined || middle === undefined || last === undefined) return;
    if (!isAlike(first, middle) || !isAlike(middle, last)) return;
    this.#waiting.splice(-2, 2, withJumpsOf(middle, last));
  }

  #thinOlderHalf(): void {
    const half = Math.floor(this.#waiting.length / 2);
    const kept: SamplePlace[] = [];
    let left: SamplePlace | null = null;
    for (const [i, sample] of this.#waiting.entries()) {
      if (i < half && i % 2 === 1) left = sample;
      else {
        kept.push(left === null ? sample : withJumpsOf(left, sample));
        left = null;
      }
    }
    this.#waiting = kept;
  }
}

function comesAfter(other: SamplePlace | undefined, { seq, position }: SamplePlace): boolean {
  if (other === undefined) return false;
  return other.seq === seq ? other.position > position : other.seq > seq;
}

/** Whether two samples are of one second and speak of the same bytes. */
function isAlike(a: SamplePlace, b: SamplePlace): boolean {
  const sameFile = a.seq === b.seq && a.ino === b.ino && a.replid === b.replid;
  return sameFile && a.runId === b.runId && secondOf(a) === secondOf(b);
}

function secondOf({ timeUs }: SamplePlace): number {
  return Math.floor(timeUs / 1e6);
}

/** A step that was told by a sample that goes is told by the one after it. */
function withJumpsOf(gone: SamplePlace, sample: SamplePlace): SamplePlace {
  const { jumps = [] } = gone;
  return jumps.length === 0 ? sample : { ...sample, jumps: [...jumps, ...(sample.jumps ?? [])] };
}
