import type { ClockStep, Mark } from '@tidemark/archive';
import type { ClockJump } from './clock-watch.ts';

/** A step as it is found; what was proven before it is known when it is reported. */
export type FoundStep = Omit<ClockStep, 'provenTo'>;

/** A mark this much older than the latest one tells of a step back: smaller ones are none. */
const BACK_MS_MIN = 1_000;

/**
 * Finds the steps of the clock in one timeline, from its marks and from what the clock watch saw
 * between two samples.
 *
 * Within a stretch the latest time counts: after a step back of less than a second units belong to
 * the latest second that the clock has shown, as `#TS` lines have it too.
 */
export class StepFinder {
  #stretch: number;
  /** Latest time of the present stretch; `upTo` adds what a `#TS` line leaves open. */
  #latestMs: number | null;
  #latestUpToMs: number;
  /** The furthest offset of a mark in the timeline. */
  #offset: bigint;
  /** The last sample: its offset, and the latest time that had been shown by then. */
  #sampled: bigint | null = null;
  #sampledMs = 0;

  /** @param start - Stretch, latest second and offset from which the timeline goes on. */
  constructor(start: {
    readonly stretch: number;
    readonly latestSecond: number | null;
    readonly offset: bigint;
  }) {
    this.#stretch = start.stretch;
    this.#latestMs = start.latestSecond === null ? null : start.latestSecond * 1000;
    this.#latestUpToMs = this.#latestMs ?? 0;
    this.#offset = start.offset;
  }

  /** Steps back so far. */
  get stretch(): number {
    return this.#stretch;
  }

  /** Whether a `#TS` line of this second comes from after a step back. */
  isBack(second: number): boolean {
    return this.#latestMs !== null && second * 1000 + 999 <= this.#latestMs - BACK_MS_MIN;
  }

  /** The step back right before a `#TS` line: the server was started anew, with an older clock. */
  atAnnotation(offset: bigint, second: number): FoundStep {
    const toMs = second * 1000;
    const untilMs = this.#latestMs ?? 0;
    const fromMs = this.#latestUpToMs;
    const place = { before: offset, offset, untilMs };
    return this.#back({ direction: 'back', ...place, fromMs, toMs, sinceMs: toMs });
  }

  /**
   * The steps since the sample before, found at a sample.
   * @param jumps - What the clock watch saw since then.
   * @param foundBack - Whether the step back among them was found at a `#TS` line already.
   */
  atSample(
    offset: bigint,
    timeMs: number,
    jumps: readonly ClockJump[],
    foundBack: boolean,
  ): readonly FoundStep[] {
    const steps: FoundStep[] = [];
    const known = foundBack ? jumps.findIndex(({ direction }) => direction === 'back') : -1;
    const left = this.#sampled === null ? [] : jumps.filter((_, i) => i !== known);
    const place = { before: this.#sampled ?? 0n, offset };
    let untilMs = this.#sampledMs;
    for (const [i, { direction, fromMs, toMs }] of left.entries()) {
      // Between two steps nothing is known but that the next one came.
      const sinceMs = left[i + 1]?.fromMs ?? timeMs;
      const step: FoundStep = { direction, ...place, untilMs, fromMs, toMs, sinceMs };
      untilMs = toMs;
      steps.push(direction === 'back' ? this.#back(step) : step);
    }
    if (steps.length === 0 && this.#latestMs !== null && timeMs <= this.#latestMs - BACK_MS_MIN) {
      const before = this.#offset < offset ? this.#offset : offset;
      const fromMs = this.#latestUpToMs;
      const shown = { untilMs: this.#latestMs, fromMs, toMs: timeMs, sinceMs: timeMs };
      const found = { before, offset, ...shown };
      steps.push(this.#back({ direction: 'back', ...found }));
    }
    this.#sampled = offset;
    this.#sampledMs = Math.max(this.#latestMs ?? timeMs, timeMs);
    return steps;
  }

  /** Takes note of a mark of the present stretch. */
  note({ offset, notBeforeMs, source }: Mark): void {
    this.#latestMs = Math.max(this.#latestMs ?? notBeforeMs, notBeforeMs);
    const upTo = source === 'annotation' ? notBeforeMs + 999 : notBeforeMs;
    this.#latestUpToMs = Math.max(this.#latestUpToMs, upTo);
    if (offset > this.#offset) this.#offset = offset;
  }

  #back(step: FoundStep): FoundStep {
    this.#stretch += 1;
    this.#latestMs = null;
    this.#latestUpToMs = 0;
    return step;
  }
}
