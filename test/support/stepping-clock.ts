import type { Clock } from '@tidemark/core';

/** A clock on which time passes only by sleeping. */
export interface SteppingClock extends Clock {
  now: number;
  /** How long each sleep was, in milliseconds. */
  readonly pauses: number[];
}

/** A clock whose sleeps end at once and move it on; an aborted sleep rejects as the port says. */
export function steppingClock(nowMs: number): SteppingClock {
  return {
    now: nowMs,
    pauses: [],
    nowMs() {
      return this.now;
    },
    monotonicMs() {
      return this.now;
    },
    async sleep(delayMs, signal) {
      signal?.throwIfAborted();
      this.pauses.push(delayMs);
      this.now += delayMs;
      await new Promise(setImmediate);
      signal?.throwIfAborted();
    },
  };
}
