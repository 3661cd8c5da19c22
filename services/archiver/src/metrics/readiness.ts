import type { Clock } from '@tidemark/core';
import type { CaptureStatus } from '../capture/capture-status.ts';

/** Least time without progress that counts as standing still. */
const STALL_MS_MIN = 60_000;
/** So many rolls, or signs of life, may be missed. */
const MISSED_MAX = 3;

/** One reason why a service is not ready. No address, and nothing of the user, is in it. */
export interface ReadinessReason {
  readonly code: string;
  /** Null: it is about the service as a whole. */
  readonly instance: string | null;
  readonly detail: string;
}

/** Whether a service does what it is there for. */
export interface Readiness {
  /** Empty: it is ready. */
  readonly reasons: readonly ReadinessReason[];
  /** What does not stand in its way but has to be known. */
  readonly notes: readonly ReadinessReason[];
}

/** How long the proven second of an instance may stand still, in milliseconds. */
export function stallMsOf(limits: {
  readonly rollMaxAgeMs: number;
  readonly heartbeatMs: number;
}): number {
  const { rollMaxAgeMs, heartbeatMs } = limits;
  // An idle node proves its seconds with the signs of life.
  return Math.max(STALL_MS_MIN, MISSED_MAX * rollMaxAgeMs, MISSED_MAX * heartbeatMs);
}

interface Progress {
  readonly provenTo: number | null;
  readonly sinceMs: number;
}

/**
 * Knows since when the proven second of each capture stands still. It is to be shown the captures
 * now and then; of one that it sees for the first time the lag tells.
 */
export class StallWatch {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #stallMs: number;
  readonly #seen = new Map<string, Progress>();

  constructor(clock: Pick<Clock, 'monotonicMs'>, stallMs: number) {
    this.#clock = clock;
    this.#stallMs = stallMs;
  }

  /** Takes note of where the captures are. Those that are gone are forgotten. */
  note(all: readonly CaptureStatus[]): void {
    const now = this.#clock.monotonicMs();
    const captures = all.filter(isToMove);
    const present = new Set(captures.map(({ instance }) => instance));
    for (const instance of this.#seen.keys()) {
      if (!present.has(instance)) this.#seen.delete(instance);
    }
    for (const { instance, provenTo, lagSeconds } of captures) {
      const last = this.#seen.get(instance);
      const lagMs = (lagSeconds ?? 0) * 1000;
      if (last === undefined) this.#seen.set(instance, { provenTo, sinceMs: now - lagMs });
      // Any other second is progress: a clock may be set back, and a capture begun anew has none yet.
      else if (provenTo !== null && provenTo !== last.provenTo) {
        this.#seen.set(instance, { provenTo, sinceMs: now });
      }
    }
  }

  /** What stands in the way of the captures now. */
  readiness(captures: readonly CaptureStatus[]): Readiness {
    this.note(captures);
    return { reasons: captures.filter(isToMove).flatMap((one) => this.#reasonsOf(one)), notes: [] };
  }

  #reasonsOf(capture: CaptureStatus): readonly ReadinessReason[] {
    const { instance, state, failure, storeError, provenTo } = capture;
    const reasons: ReadinessReason[] = [];
    const add = (code: string, detail: string): void =>
      void reasons.push({ code, instance, detail });
    const stalledMs = this.#clock.monotonicMs() - (this.#seen.get(instance)?.sinceMs ?? 0);
    if (stalledMs >= this.#stallMs) {
      const seconds = Math.floor(stalledMs / 1000).toString();
      add('stalled', `no second was proven for ${seconds} s`);
    } else if (provenTo === null && failure === null) {
      add('starting', 'no second is proven yet');
    }
    if (failure !== null)
      add('capture-failed', `the capture waits for its next try: ${failure.code}`);
    else if (state === 'stopped') add('stopped', 'the capture has ended');
    if (storeError !== null) add('store-away', 'store, keys or spool take nothing now');
    return reasons;
  }
}

/**
 * Whether seconds of an instance are to be proven here: not while its policy has flashback off, nor
 * while another archiver owns its log.
 */
export function isToMove({ state }: CaptureStatus): boolean {
  return state !== 'snapshots-only' && state !== 'waiting';
}
