import type { Clock } from '@tidemark/core';

/** Measures how long each phase of a restore takes, in seconds with three decimals. */
export class PhaseTimer {
  readonly #clock: Clock;
  readonly #startMs: number;
  #phaseMs: number;
  readonly #phases: Record<string, number> = {};
  readonly #onEnd: ((phase: string) => void) | undefined;

  /** @param onEnd - Told when a phase has ended. */
  constructor(clock: Clock, onEnd?: (phase: string) => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.#startMs = clock.monotonicMs();
    this.#phaseMs = this.#startMs;
  }

  /** Ends a phase: the time since the last call is its. */
  end(phase: string): void {
    const now = this.#clock.monotonicMs();
    this.#phases[phase] = (this.#phases[phase] ?? 0) + seconds(now - this.#phaseMs);
    this.#phaseMs = now;
    this.#onEnd?.(phase);
  }

  get phases(): Readonly<Record<string, number>> {
    return this.#phases;
  }
  get elapsedSeconds(): number {
    return seconds(this.#clock.monotonicMs() - this.#startMs);
  }
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
