import type { Clock } from '@tidemark/core';
import { hostOf } from './instance-claims.ts';
import type { JobClaim } from './job-machine.ts';

/** Workers of other hosts are heard of through their events alone: they may be silent for so long. */
const FOREIGN_MS = 60_000;
/** Looks that a silence is made of at the least: time that this process slept through is none. */
const LOOKS_MIN = 4;
/** What a process leaves when it ends (helpers, bytes on their way) is given so long. */
const GONE_MS = 1_000;

/** A claim of a job in the database. */
export interface SeenClaim extends JobClaim {
  readonly id: string;
}

interface Watched {
  readonly claim: JobClaim;
  readonly silentMs: number;
  readonly lookedMs: number;
}

/**
 * Finds workers that are not heard of any more. A wall clock that is set ahead or back ends no claim and
 * keeps none: what counts is that a claim was seen unchanged, while this process was awake, for as long
 * as one holds.
 */
export class SilentClaims {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #host: string;
  readonly #claimMs: number;
  readonly #isGone: (worker: string) => boolean;
  #watched = new Map<string, Watched>();

  /**
   * @param worker - The one that asks; `claimMs` is how long a claim of its own host holds, unless
   *   `isGone` says that its process provably lives no more.
   */
  constructor(
    clock: Pick<Clock, 'monotonicMs'>,
    worker: string,
    claimMs: number,
    isGone: (worker: string) => boolean = () => false,
  ) {
    this.#clock = clock;
    this.#host = hostOf(worker);
    this.#claimMs = claimMs;
    this.#isGone = isGone;
  }

  /** Looks at all claims there are. @returns Those whose worker was silent for too long, by their job. */
  look(claims: readonly SeenClaim[]): ReadonlyMap<string, JobClaim> {
    const lookedMs = this.#clock.monotonicMs();
    const watched = new Map<string, Watched>();
    const silent = new Map<string, JobClaim>();
    for (const { id, ...claim } of claims) {
      const known = this.#watched.get(id);
      const limitMs = this.#limitOf(claim);
      const same = known?.claim.worker === claim.worker && known.claim.untilMs === claim.untilMs;
      const passedMs = same ? Math.min(lookedMs - known.lookedMs, limitMs / LOOKS_MIN) : 0;
      const silentMs = same ? known.silentMs + passedMs : 0;
      watched.set(id, { claim, silentMs, lookedMs });
      if (silentMs >= limitMs) silent.set(id, claim);
    }
    this.#watched = watched;
    return silent;
  }

  #limitOf({ worker }: JobClaim): number {
    if (hostOf(worker) !== this.#host) return Math.max(FOREIGN_MS, this.#claimMs);
    return this.#isGone(worker) ? Math.min(GONE_MS, this.#claimMs) : this.#claimMs;
  }
}
