import type { WriterState } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { areApart } from '@tidemark/store';

/** From when a host says that an instance is due until the clock may destroy it, in milliseconds. */
export const DUE_GRACE_MS = 86_400_000;
/** A process that found it said already sees for itself that it stays so: over two hourly sweeps. */
const WATCH_MS = 3_000_000;
const DAY_MS = 86_400_000;
/** How far the clock of one that writes may be behind before it says that the end is not there yet. */
const BEHIND_MS_MAX = 600_000;

/** The end of a writer log of the store: of any instance. */
export interface LogHead {
  /** Names the log among all of the store. */
  readonly log: string;
  readonly state: Pick<WriterState, 'seq' | 'lastEntryMs'>;
}

/** What lies in the bin beyond its time. */
export interface DueInstance {
  readonly instance: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** When it was said in its log; undefined: not yet. */
  readonly dueSinceMs: number | undefined;
}

/** Who else knows what time it is. */
export interface Witnesses {
  /** The ends of all writer logs of the store. */
  readonly heads: readonly LogHead[];
  /** The clock of the store; null: it has none of its own. */
  readonly storeMs: number | null;
  /** How long the instance was seen to lie in the bin by what passes on this host. */
  readonly watchedMs: number;
}

/**
 * What may be done with an instance that is due. `say`: it is to be said in its log. `wait`: it was said,
 * and time has to pass. Not to be relied upon: `store-clock`, the clocks of this host and of the store
 * are apart; `writers`, others write to the store, and by the clock of one of them its time is not over;
 * `unwatched`, only clocks say that so much time has passed.
 */
export type DueAnswer = 'say' | 'wait' | 'store-clock' | 'writers' | 'unwatched' | 'destroy';

interface Watch {
  readonly fromMs: number;
  readonly isSaidHere: boolean;
  readonly seqs: ReadonlyMap<string, number>;
}

/**
 * A clock that is wrong must not destroy anything, be it for a moment or for good. What is over its time by
 * the clock of this host is destroyed only when the time itself agrees, which a process of this host saw pass
 * (the clock that said when it was released may have been the wrong one), and the clock of the store, where it
 * has one. And only a day after it was said, seen over more than one sweep, and not against the clock of
 * anybody who writes to the store.
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

  look(
    { instance, sinceMs, untilMs, dueSinceMs }: DueInstance,
    { heads, storeMs, watchedMs }: Witnesses,
  ): DueAnswer {
    const [nowMs, fromMs] = [this.#clock.nowMs(), this.#clock.monotonicMs()];
    if (storeMs !== null && areApart(nowMs, storeMs)) {
      this.forget(instance);
      return 'store-clock';
    }
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
    // One that is right is enough: nobody but the destruction has to be outvoted.
    const isBefore = heads.some(
      ({ log, state: { seq, lastEntryMs } }) =>
        lastEntryMs !== null &&
        seq > (watch.seqs.get(log) ?? -1) &&
        lastEntryMs < untilMs - BEHIND_MS_MAX,
    );
    if (isBefore) return 'writers';
    const isOver = storeMs === null || storeMs >= untilMs;
    return isOver && watchedMs >= untilMs - sinceMs ? 'destroy' : 'unwatched';
  }
}

/** Why what is due by the clock of this host is kept; null: it is not, or only its day has to pass. */
export function whyKept(
  answer: DueAnswer,
  { instance, sinceMs, untilMs }: Pick<DueInstance, 'instance' | 'sinceMs' | 'untilMs'>,
  { storeMs, watchedMs }: Witnesses,
  nowMs: number,
): string | null {
  switch (answer) {
    case 'store-clock': {
      const minutes = Math.round(Math.abs(nowMs - (storeMs ?? 0)) / 60_000).toString();
      return `the clocks of this host and of the store are ${minutes} minutes apart: set them`;
    }
    case 'writers':
      return 'its time is over by the clock of this host: by the clock of one that writes to the store it is not';
    case 'unwatched': {
      const [seen, whole] = [watchedMs, untilMs - sinceMs].map((ms) =>
        Math.floor(ms / DAY_MS).toString(),
      );
      return `its time is over by clocks alone: of ${whole ?? ''} days it was seen to lie here for ${seen ?? ''}; if it is to go now: tidemark recycle destroy ${instance}`;
    }
    default:
      return null;
  }
}
