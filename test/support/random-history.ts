import type { ClockStep } from '@tidemark/archive';
import type {
  RetentionShard,
  RetentionTimeline,
} from '../../libs/catalog/src/retention/history.ts';

/** A second that really passed, as a capture saw it. */
export interface TrueSecond {
  readonly timeline: string;
  /** What the server's clock showed. */
  readonly shown: number;
  /** When it was, by a clock that never steps. */
  readonly at: number;
  /** Offset behind its last command: the cut of the second. */
  readonly cut: bigint;
  /** Steps back of the clock before it in its timeline. */
  readonly stretch: number;
}

export interface TrueSegment {
  readonly writer: string;
  readonly timeline: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly level: number;
}

/** A history of one shard with all that is true of it. */
export interface TrueHistory {
  readonly shard: RetentionShard;
  readonly seconds: readonly TrueSecond[];
  readonly segments: readonly TrueSegment[];
  readonly bytesOfSnapshot: number;
  /** When it ended, by the clock that never steps. */
  readonly now: number;
}

/** Numbers from 0 to below 1, the same for the same seed. */
export function numbers(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TEN_YEARS = 315_360_000;

/**
 * Lets a shard live for some hundred seconds: writes, segments, snapshots, closed and opened
 * timelines, times without an archiver, another writer that takes over, and a clock that steps back
 * and jumps ahead, sometimes by ten years.
 */
export function liveRandomly(seed: number): TrueHistory {
  return new Life(seed).live();
}

class Life {
  readonly #next: () => number;
  readonly #seconds: TrueSecond[] = [];
  readonly #segments: TrueSegment[] = [];
  readonly #writers: { writer: string; timelines: OpenTimeline[] }[] = [];
  readonly #order: string[] = [];
  #at = 1_000_000;
  #skew = 0;

  constructor(seed: number) {
    this.#next = numbers(seed);
  }

  live(): TrueHistory {
    const lifetimes = 1 + this.#whole(5);
    for (let i = 0; i < lifetimes; i++) {
      if (i === 0 || this.#odds(0.15)) {
        this.#writers.push({ writer: `w${String(this.#writers.length)}`, timelines: [] });
      }
      const last = i === lifetimes - 1;
      this.#capture(!last || this.#odds(0.3));
      if (!last) this.#at += this.#whole(this.#odds(0.2) ? 400 : 20);
    }
    const writers = this.#writers.map(({ writer, timelines }) => ({
      writer,
      timelines: timelines.map((each) => each.known()),
    }));
    return {
      shard: { shard: '0', writers, order: this.#order },
      seconds: this.#seconds,
      segments: this.#segments,
      bytesOfSnapshot: 50,
      now: this.#at,
    };
  }

  #capture(closes: boolean): void {
    const writer = this.#writers.at(-1);
    if (writer === undefined) return;
    const name = `t${String(this.#order.length)}`;
    this.#order.push(name);
    const timeline = new OpenTimeline(name);
    writer.timelines.push(timeline);
    const length = 5 + this.#whole(150);
    const withoutSnapshot = this.#odds(0.1);
    const every = 4 + this.#whole(40);
    let sealed = 0n;
    for (let i = 0; i < length; i++) {
      if (!withoutSnapshot && (i === 0 || this.#whole(every) === 0)) {
        timeline.addSnapshot(this.#clock - (i > 0 && this.#odds(0.5) ? 1 : 0), this.#whole(1000));
      }
      if (this.#odds(0.7)) timeline.end += BigInt(1 + this.#whole(9));
      timeline.shown(this.#clock);
      this.#seconds.push({
        ...{ timeline: name, shown: this.#clock, at: this.#at, cut: timeline.end },
        stretch: timeline.stretch,
      });
      this.#at += 1;
      const steps = this.#odds(0.015);
      if ((this.#odds(0.4) || steps || i === length - 1) && timeline.end > sealed) {
        const range = { start: sealed, end: timeline.end };
        this.#segments.push({ writer: writer.writer, timeline: name, ...range, level: 0 });
        sealed = timeline.end;
      }
      if (steps && i < length - 1) this.#step(timeline);
    }
    if (this.#odds(0.5)) this.#merge(writer.writer, name);
    timeline.open = !closes;
  }

  /** The clock is set: nothing runs between its last second and the first after it. */
  #step(timeline: OpenTimeline): void {
    const before = this.#clock;
    const far = this.#odds(0.3);
    const back = this.#odds(0.5);
    this.#skew += (back ? -1 : 1) * (far ? TEN_YEARS : 2 + this.#whole(60));
    if (back) timeline.forget();
    timeline.steps.push({
      direction: this.#clock < before ? 'back' : 'forward',
      before: timeline.end,
      offset: timeline.end,
      untilMs: (before - 1) * 1000 + 999,
      fromMs: (before - 1) * 1000 + 999,
      toMs: this.#clock * 1000,
      sinceMs: this.#clock * 1000,
      provenTo: back ? before - 2 : null,
    });
  }

  /** Segments next to each other become one; what it holds leaves the fold. */
  #merge(writer: string, timeline: string): void {
    const own = this.#segments.filter((one) => one.timeline === timeline);
    const from = this.#whole(Math.max(1, own.length));
    const held = own.slice(from, from + 2 + this.#whole(5));
    const [first, last] = [held[0], held.at(-1)];
    if (first === undefined || last === undefined || first === last) return;
    for (const one of held) this.#segments.splice(this.#segments.indexOf(one), 1);
    const range = { start: first.start, end: last.end };
    this.#segments.push({ writer, timeline, ...range, level: 1 });
  }

  get #clock(): number {
    return this.#at + this.#skew;
  }

  #odds(share: number): boolean {
    return this.#next() < share;
  }

  #whole(below: number): number {
    return Math.floor(this.#next() * below);
  }
}

class OpenTimeline {
  readonly name: string;
  readonly steps: ClockStep[] = [];
  readonly #snapshots: { backup: string; offset: bigint; from: number }[] = [];
  end = 0n;
  open = true;
  #proven: number | null = null;

  constructor(name: string) {
    this.name = name;
  }

  get stretch(): number {
    return this.steps.filter(({ direction }) => direction === 'back').length;
  }

  addSnapshot(from: number, salt: number): void {
    const last = this.#snapshots.at(-1);
    if (last !== undefined && last.offset >= this.end) return;
    const backup = `bk-${this.name}-${this.end.toString()}-${String(salt)}`;
    this.#snapshots.push({ backup, offset: this.end, from });
  }

  shown(second: number): void {
    this.#proven = Math.max(this.#proven ?? -Infinity, second - 1);
  }

  /** What was proven says nothing of the time after a step back. */
  forget(): void {
    this.#proven = null;
  }

  known(): RetentionTimeline {
    const [first] = this.#snapshots;
    return {
      timeline: this.name,
      from: first?.from ?? null,
      fromOffset: first?.offset ?? null,
      to: this.#proven,
      steps: this.steps,
      closedBecause: this.open ? null : 'capture-down',
      openedBecause: 'attach',
      end: this.end,
      open: this.open,
      snapshots: this.#snapshots,
    };
  }
}
