import { stretchesOf, type SecondRange } from '@tidemark/archive';
import type { RetentionTimeline } from './history.ts';

/** A second of a stretch of a timeline. */
export interface WitnessedSecond {
  readonly timeline: string;
  /** How many steps back of the clock lie before it. */
  readonly stretch: number;
  readonly second: number;
}

/** Seconds that somebody saw pass, gathered from the newest backwards. */
export class WitnessedTime {
  /** Disjoint, in order, never touching. */
  readonly #ranges: SecondRange[] = [];

  /** Adds seconds; those that are in already count once. */
  add(range: SecondRange): void {
    if (range.from > range.to) return;
    const merged = withRange(this.#ranges, range);
    this.#ranges.splice(0, this.#ranges.length, ...merged);
  }

  /**
   * The first second of a range after which fewer than `seconds` were seen; null when as many were
   * seen after its last one.
   */
  firstWithin({ from, to }: SecondRange, seconds: number): number | null {
    const seenAfter = (second: number): number => {
      const later = second < to ? withRange(this.#ranges, { from: second + 1, to }) : this.#ranges;
      return measure(later);
    };
    if (seenAfter(to) >= seconds) return null;
    let [low, high] = [from, to];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (seenAfter(middle) < seconds) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Silences up to this share of the retention count as seen, and such of a minute. */
const SILENCE_SHARE = 1 / 7;
const SILENCE_SECONDS_MIN = 60;

/**
 * The oldest second after which fewer than `seconds` were seen to pass. Time is what the log itself
 * tells: no clock is asked, and what nobody watched counts for nothing: whether it was an hour or
 * ten years cannot be told, and a clock that jumps ahead makes nothing old. Of a long time without a
 * write it cannot be told either: the archiver may have been away, and the clock set meanwhile.
 *
 * @param timelines - Of one shard, in the order of their opening.
 * @returns Null when all of the history lies within.
 */
export function witnessedSince(
  timelines: readonly RetentionTimeline[],
  seconds: number,
): WitnessedSecond | null {
  const seen = new WitnessedTime();
  let oldest: WitnessedSecond | null = null;
  const silence = Math.max(SILENCE_SECONDS_MIN, Math.floor(seconds * SILENCE_SHARE));
  for (const span of [...timelines].reverse()) {
    for (const { index, ran } of [...stretchesOf(span)].reverse()) {
      const own = span.written?.filter(({ stretch }) => stretch === index) ?? ran;
      for (const range of ran.flatMap((one) => withoutSilence(one, own, silence)).reverse()) {
        const second = seen.firstWithin(range, seconds);
        if (second === null) return oldest;
        oldest = { timeline: span.timeline, stretch: index, second };
        if (second > range.from) return oldest;
        seen.add(range);
      }
    }
  }
  return null;
}

/** What is left of a range without the times of more than `most` seconds in which nothing was written. */
function withoutSilence(
  range: SecondRange,
  written: readonly SecondRange[],
  most: number,
): SecondRange[] {
  const within = written
    .map(({ from, to }) => ({ from: Math.max(from, range.from), to: Math.min(to, range.to) }))
    .filter(({ from, to }) => from <= to);
  const left: SecondRange[] = [];
  let from = range.from;
  let seen = range.from - 1;
  for (const next of [...within, { from: range.to + 1, to: range.to + 1 }]) {
    if (next.from - seen - 1 > most) {
      left.push({ from, to: Math.max(seen, from) });
      from = next.from;
    }
    seen = Math.max(seen, next.to);
  }
  if (from <= range.to) left.push({ from, to: range.to });
  return left;
}

function measure(ranges: readonly SecondRange[]): number {
  return ranges.reduce((total, { from, to }) => total + to - from + 1, 0);
}

function withRange(ranges: readonly SecondRange[], added: SecondRange): SecondRange[] {
  const left = ranges.filter(({ to }) => to < added.from - 1);
  const right = ranges.filter(({ from }) => from > added.to + 1);
  const joined = ranges.slice(left.length, ranges.length - right.length);
  const from = Math.min(added.from, ...joined.map((one) => one.from));
  const to = Math.max(added.to, ...joined.map((one) => one.to));
  return [...left, { from, to }, ...right];
}
