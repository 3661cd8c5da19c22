import type { NodeLocator, NodeSample } from '@tidemark/client';
import type { Clock } from '@tidemark/core';
import type { Logger } from '../logger.ts';
import type { CaptureSource } from './capture-source.ts';
import { ClockWatch, type ClockJump } from './clock-watch.ts';
import { runSampler } from './sampler.ts';
import type { SamplePlace } from './waiting-samples.ts';

/** How long ago a sample may have been taken that says that the node is quiet. */
const QUIET_MS_MAX = 5_000;

/** Steps of the clock that are kept while no sample has a place. */
const JUMPS_KEPT = 16;

/** What a sample desk works with. */
export interface SampleDeskOptions {
  readonly locator: NodeLocator;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onPlaced: (place: SamplePlace) => void;
}

/** Where the tail stands. */
interface Place {
  readonly seq: number;
  readonly position: number;
}

/** Takes samples of a node, places them in its files, and remembers the latest one. */
export class SampleDesk {
  readonly #options: SampleDeskOptions;
  #latest: (Place & { readonly atMs: number }) | null = null;
  #quietAtMs: number | null = null;
  #linkError: string | null = null;
  readonly #watch = new ClockWatch();
  /** Steps of the clock since the last sample that had a place. */
  #jumps: ClockJump[] = [];

  constructor(options: SampleDeskOptions) {
    this.#options = options;
  }

  /** Why no samples come; null while they do. */
  get linkError(): string | null {
    return this.#linkError;
  }
  /** Whether any sample was placed yet. */
  get placed(): boolean {
    return this.#latest !== null;
  }

  /** Whether the node answered lately and does nothing heavy. */
  get isQuiet(): boolean {
    const { clock } = this.#options;
    return this.#quietAtMs !== null && clock.monotonicMs() - this.#quietAtMs <= QUIET_MS_MAX;
  }

  /** Takes samples until the signal is aborted. */
  async run(source: CaptureSource, signal: AbortSignal): Promise<void> {
    const { locator, clock, logger } = this.#options;
    await runSampler({
      locator,
      clock,
      signal,
      begin: () => source.beginSample(),
      onSample: (sample, stamp, trip) => {
        const jump = this.#watch.see(Math.floor(sample.timeUs / 1000), trip);
        if (jump !== null) this.#noteJump(jump);
        this.#place(source, sample, stamp);
      },
      onLink: (error) => {
        this.#linkError = error?.message ?? null;
        if (error !== null) logger.warn('link', { code: error.code, error: error.message });
      },
    });
  }

  /** Bytes the server had written at the latest sample beyond the tail's place. */
  unreadBytes(tail: Place | undefined): number {
    if (this.#latest === null || tail?.seq !== this.#latest.seq) return 0;
    return Math.max(0, this.#latest.position - tail.position);
  }

  /** Whether the tail has passed a sample that was taken after `sinceMs`. */
  passedSince(sinceMs: number, tail: Place | undefined): boolean {
    if (this.#latest === null || tail === undefined || this.#latest.atMs <= sinceMs) return false;
    const { seq, position } = this.#latest;
    return tail.seq > seq || (tail.seq === seq && tail.position >= position);
  }

  #noteJump(jump: ClockJump): void {
    const { direction, fromMs, toMs } = jump;
    this.#options.logger.warn('clock-step', { direction, fromMs, toMs });
    this.#jumps.push(jump);
    // Of samples that have no place for so long, the latest tell enough.
    if (this.#jumps.length > JUMPS_KEPT) this.#jumps.shift();
  }

  #place(source: CaptureSource, sample: NodeSample, stamp: unknown): void {
    const { clock, onPlaced } = this.#options;
    this.#quietAtMs = source.isQuiet(sample) ? clock.monotonicMs() : null;
    const place = source.place(sample, stamp);
    if (place === null) return;
    const { seq, position } = place;
    this.#latest = { seq, position, atMs: clock.nowMs() };
    const { timeUs, runId } = sample;
    const jumps = this.#jumps;
    this.#jumps = [];
    onPlaced({ ...place, timeUs, runId, jumps });
  }
}
