import { BusError, type Clock } from '@tidemark/core';

/** What is waited for, and for how long. */
export interface Deadline {
  readonly clock: Clock;
  readonly ms: number;
  /** For the message: what does not answer. */
  readonly doing: string;
}

/**
 * Waits for work, but no longer than a deadline: some promises of kafkajs never settle when a server
 * goes away at the wrong moment.
 * @throws BusError `TM_BUS_DOWN` at the deadline; what the work throws.
 */
export async function within<T>({ clock, ms, doing }: Deadline, work: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).then(
    () => {
      throw new BusError('TM_BUS_DOWN', `Kafka does not answer: ${doing}`, {
        context: { waitedMs: ms },
      });
    },
    () => undefined as never,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
    work.catch(() => undefined);
    late.catch(() => undefined);
  }
}
