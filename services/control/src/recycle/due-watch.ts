import type { WriterState } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';

/** From when a host says that an instance is due until the clock may destroy it, in milliseconds. */
export const DUE_GRACE_MS = 86_400_000;
/** A process that found it said already sees for itself that it stays so: over two hourly sweeps. */
const WATCH_MS = 3_000_000;

/** The end of a writer log of the store: of any instance. */
export interface LogHead {
  /** Names the log among all of the store. */
  readonly log: string;
  readonly state: Pick<WriterState, 'seq' | 'lastEntryMs'>;
}

/** What lies in the bin beyond its time. */
export interface DueInstance {
  readonly instance: string;
  readonly untilMs: number;
  /** When it was said in its log; undefined: not yet. */
  readonly dueSinceMs: number | undefined;
}

/**
 * What may be done with an instance that is due. `say`: it is to be said in its log. `wait`: it was said,
 * and time has to pass. `doubt`: others write to the store, and their clocks say that its time is not over.
 */
export type DueAnswer = 'say' | 'wait' | 'doubt' | 'destroy';

interface Watch {
  readonly fromMs: number;
  readonly isSaidHere: boolean;
  readonly seqs: ReadonlyMap<string, number>;
}

/**
 * A clock that is wrong for a moment must not destroy anything: what is over its time by it is destroyed
 * only after a day that did pass, seen over more than one sweep, and not against the clocks of those that
 * write to the store meanwhile.
 */
export class DueWatch {
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watch>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** It is not due, or not any more. */
  forget(instance: string): void {
    this.#watched.delete(instance);
  }

  /** @param heads - The ends of all writer logs of the store. */
  look({ instance, untilMs, dueSinceMs }: DueInstance, heads: readonly LogHead[]): DueAnswer {
    const [nowMs, fromMs] = [this.#clock.nowMs(), this.#clock.monotonicMs()];
    const isSaid = dueSinceMs !== undefined && dueSinceMs >= untilMs && dueSinceMs <= nowMs;
    let watch = this.#watched.get(instance);
    if (watch === undefined || !isSaid) {
      const seqs = new Map(heads.map(({ log, state }) => [log, state.seq]));
      watch = { fromMs, isSaidHere: !isSaid, seqs };
      this.#watched.set(instance, watch);
    }
    if (!isSaid) return 'say';
    if (fromMs - watch.fromMs < (watch.isSaidHere ? DUE_GRACE_MS : WATCH_MS)) return 'wait';
    if (nowMs - dueSinceMs < DUE_GRACE_MS) return 'wait';
    let newest: number | null = null;
    for (const { log, state } of heads) {
      if (state.lastEntryMs === null || state.seq <= (watch.seqs.get(log) ?? -1)) continue;
      newest = Math.max(newest ?? 0, state.lastEntryMs);
    }
    return newest !== null && newest < untilMs ? 'doubt' : 'destroy';
  }
}
