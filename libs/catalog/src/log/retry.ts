import { TidemarkError, type Clock, type Random } from '@tidemark/core';

/** Bounds of a retry. */
export interface RetryLimits {
  /** Tries in all, 1 or more. Default 5. */
  readonly attempts?: number;
  /** Longest first pause. Default 100 ms; it doubles with each try. */
  readonly baseMs?: number;
  /** Longest pause. Default 5 s. */
  readonly capMs?: number;
}

/** What a retry needs of the world. */
export interface RetryPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: RetryLimits | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Repeats work that failed in passing (`retryable` errors), with pauses of random length.
 *
 * @throws The last error when the tries are used up, any other error at once, the signal's reason.
 */
export async function retrying<T>(ports: RetryPorts, work: () => Promise<T>): Promise<T> {
  const { clock, random, signal } = ports;
  const { attempts = 5, baseMs = 100, capMs = 5_000 } = ports.limits ?? {};
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const passing = error instanceof TidemarkError && error.retryable;
      if (!passing || attempt >= attempts) throw error;
    }
    const ceilingMs = Math.min(capMs, baseMs * 2 ** (attempt - 1));
    await clock.sleep(jitter(random, ceilingMs), signal);
  }
}

/** A random share of a pause, so that two owners do not stay in step. */
export function jitter(random: Random, ceilingMs: number): number {
  return (random.bytes(2).readUInt16BE(0) / 0xffff) * ceilingMs;
}
