import type { RestoreProgress } from '@tidemark/restorer';
import type { Clock } from '@tidemark/core';
import type { JobContext } from '../jobs/job.ts';

/** Phases of a restore: what follows when one ends, and where it stands in percent then. */
const AFTER: Readonly<Record<string, readonly [next: string, percent: number]>> = {
  plan: ['verify', 2],
  verify: ['preflight', 20],
  preflight: ['attach', 22],
  attach: ['replay', 24],
  trim: ['count', 92],
  replay: ['promote', 94],
  promote: ['persist', 96],
  persist: ['done', 100],
  scratch: ['write', 60],
  write: ['done', 100],
};

/** Which share of the percents the phases have whose bytes are told. */
const SHARE: Readonly<Record<string, readonly [from: number, to: number]>> = {
  verify: [2, 20],
  replay: [24, 92],
};

/** Turns what a restore tells of itself into the progress of its job. */
export class RestorePhases {
  readonly #context: Pick<JobContext, 'progress'>;
  readonly #clock: Clock;
  #phase = 'plan';
  #sinceMs: number;
  #from = 0;

  constructor(context: Pick<JobContext, 'progress'>, clock: Clock) {
    this.#context = context;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
    context.progress({ phase: 'plan', percent: 0 });
  }

  /** A phase has ended. */
  readonly ended = (phase: string): void => {
    const [next, percent] = AFTER[phase] ?? [this.#phase, null];
    this.#enter(next);
    this.#context.progress({ phase: next, ...(percent === null ? {} : { percent }) });
  };

  /** Bytes, or keys, of the phase that is under way. */
  readonly told = ({ phase, bytes, bytesTotal }: RestoreProgress): void => {
    if (phase === 'compare' || phase === 'write' || phase === 'undo') {
      this.#enter(phase);
      this.#context.progress({ phase, keysDone: bytes });
      return;
    }
    // The feed has phases of its own.
    const name = phase === 'verify' ? phase : 'replay';
    this.#enter(name);
    const [from, to] = SHARE[name] ?? [0, 0];
    const done = bytesTotal > 0 ? Math.min(1, bytes / bytesTotal) : 0;
    this.#context.progress({
      phase: name,
      ...(to > 0 ? { percent: from + (to - from) * done } : {}),
      bytesDone: bytes,
      bytesTotal,
      etaSeconds: this.#etaOf(bytes, bytesTotal),
    });
  };

  /** A new phase is measured from its own beginning. */
  #enter(phase: string): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#sinceMs = this.#clock.monotonicMs();
    this.#from = 0;
  }

  #etaOf(bytes: number, bytesTotal: number): number | null {
    if (this.#from === 0) this.#from = bytes;
    const seconds = (this.#clock.monotonicMs() - this.#sinceMs) / 1000;
    const moved = bytes - this.#from;
    if (seconds < 1 || moved <= 0 || bytesTotal < bytes) return null;
    return Math.ceil(((bytesTotal - bytes) * seconds) / moved);
  }
}
