import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '@tidemark/core';

/** The clock of the operating system. Made in a service's main.ts only. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(delayMs, signal) {
    signal?.throwIfAborted();
    try {
      await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
    } catch (cause) {
      signal?.throwIfAborted();
      throw cause;
    }
  },
};
