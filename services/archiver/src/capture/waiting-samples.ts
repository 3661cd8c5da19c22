import type { ClockJump } from './clock-watch.ts';

/** Samples that wait for the tail to reach their position. */
const WAITING_SAMPLES_MAX = 64;

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

/** Samples ahead of the tail, and the steps of the clock that no placed sample has told of yet. */
export class WaitingSamples {
  #waiting: SamplePlace[] = [];
  #jumps: ClockJump[] = [];

  /** Takes a sample that the tail has yet to reach. */
  add(sample: SamplePlace): void {
    this.#waiting.push(sample);
    // The oldest is the least useful: a later one proves more.
    if (this.#waiting.length > WAITING_SAMPLES_MAX) this.drop(this.#waiting.shift());
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
   * those of files that are gone are dropped.
   */
  inside(
    file: { readonly seq: number; readonly isOpen: (sample: SamplePlace) => boolean },
    position: number,
    length: number,
  ): readonly SamplePlace[] {
    const inside: SamplePlace[] = [];
    const rest: SamplePlace[] = [];
    for (const sample of this.#waiting) {
      const open = sample.seq === file.seq && file.isOpen(sample);
      const here = open && sample.position > position && sample.position <= position + length;
      if (here) inside.push(sample);
      else if (open || sample.seq > file.seq) rest.push(sample);
      else this.drop(sample);
    }
    this.#waiting = rest;
    return inside.sort((a, b) => a.position - b.position);
  }
}
