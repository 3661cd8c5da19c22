import { createHash } from 'node:crypto';
import type { Clock, Random } from '@tidemark/core';

/** Random bytes that are the same for the same seed and never repeat within one. */
export function seededRandom(seed: string): Random {
  let count = 0;
  return {
    bytes(byteCount) {
      count += 1;
      return createHash('shake256', { outputLength: byteCount })
        .update(`${seed} ${count}`)
        .digest();
    },
  };
}

/** A clock that stands at a time until it is set. */
export function standingClock(nowMs: number): Clock & { now: number } {
  return {
    now: nowMs,
    nowMs() {
      return this.now;
    },
    monotonicMs() {
      return this.now;
    },
    sleep: () => Promise.resolve(),
  };
}
