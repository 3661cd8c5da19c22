import type { Clock } from '@tidemark/core';

/** An order that seems older is not the last word: its host sends another one while it waits. */
const ORDER_MS_MAX = 3_600_000;
/** What lies between two orders that were not read one right after the other, in milliseconds. */
const APART_MS_MIN = 5_000;
const SEEN_MAX = 4_096;

/**
 * Tells orders that lay in Kafka for long from those of a host whose clock is behind, or that only seem old
 * as the clock here is ahead: of the latter another one comes, and between the two time has passed here as
 * it has there. What is read one after the other from a topic passes as quickly as it is read.
 */
export class LateOrders {
  readonly #clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
  readonly #seen = new Map<string, { readonly atMs: number; readonly seenMs: number }>();

  constructor(clock: Pick<Clock, 'nowMs' | 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** Whether its host still wants the job. @param atMs - When it was sent, by the clock of its host. */
  isWanted(job: string, atMs: number): boolean {
    if (this.#clock.nowMs() - atMs <= ORDER_MS_MAX) return true;
    const seenMs = this.#clock.monotonicMs();
    const before = this.#seen.get(job);
    this.#seen.delete(job);
    this.#seen.set(job, { atMs, seenMs });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > SEEN_MAX && oldest !== undefined) this.#seen.delete(oldest);
    if (before === undefined) return false;
    const [saidMs, passedMs] = [atMs - before.atMs, seenMs - before.seenMs];
    return saidMs > 0 && passedMs >= APART_MS_MIN && passedMs >= saidMs / 2;
  }
}
