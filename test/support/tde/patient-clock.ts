import type { Clock } from '@tidemark/core';
import { standingClock } from '../crypto-ports.ts';

/** Longest sleep that is over at once. */
const AT_ONCE_MS = 300_000;

/** A clock that stands, on which short sleeps are over at once and long ones when they are aborted. */
export function patientClock(nowMs: number): Clock {
  const clock = standingClock(nowMs);
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    async sleep(delayMs, signal) {
      // Not in a microtask: who tries again and again would never let a file be read.
      if (delayMs <= AT_ONCE_MS) return new Promise<void>((resolve) => void setImmediate(resolve));
      await new Promise<void>((_, reject) => {
        const over = (): void => reject(signal?.reason as Error);
        if (signal?.aborted === true) over();
        else signal?.addEventListener('abort', over, { once: true });
      });
    },
  };
}
