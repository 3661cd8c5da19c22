import { TidemarkError, type Clock } from '@tidemark/core';
import type { Logger } from '@tidemark/archiver';
import { isOver, pause } from './fleet-parts.ts';
import { whyOf } from './publish-events.ts';

const WAITING_MAX = 2_000;
const POLL_MS = 200;
const BACKOFF_MS = [500, 1_000, 2_000, 5_000] as const;

type Send<T> = (all: readonly T[]) => Promise<void>;

/** What is to be sent of each job, the newest of it; it waits while Kafka is away. */
export class Outbox<T> {
  readonly #waiting = new Map<string, T>();
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /** Of more than 2,000 jobs the oldest is let go: what became of it is told again later. */
  put(job: string, what: T): void {
    this.#waiting.delete(job);
    this.#waiting.set(job, what);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) this.#waiting.delete(oldest);
  }

  /** Sends until the signal, and once more then what still waits. */
  async run(
    { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
    send: Send<T>,
    signal: AbortSignal,
  ): Promise<void> {
    for (let failures = 0; !isOver(signal);) {
      try {
        await this.#flush(send, logger);
        failures = 0;
        await pause(clock, POLL_MS, signal);
      } catch (cause) {
        if (failures === 0) logger.warn('notes-not-sent', { what: this.#name, ...whyOf(cause) });
        await pause(clock, BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] ?? 0, signal);
        failures += 1;
      }
    }
    await this.#flush(send, logger).catch(() => undefined);
  }

  /** A note that can never be sent, of a job too long for one or without a key, stands in no other's way. */
  async #flush(send: Send<T>, logger: Logger): Promise<void> {
    const all = [...this.#waiting];
    if (all.length === 0) return;
    try {
      await send(all.map(([, what]) => what));
      for (const [job, what] of all) this.#sent(job, what);
    } catch (cause) {
      if (isPassing(cause)) throw cause;
      for (const [job, what] of all) await this.#single(job, what, send, logger);
    }
  }

  async #single(job: string, what: T, send: Send<T>, logger: Logger): Promise<void> {
    try {
      await send([what]);
    } catch (cause) {
      if (isPassing(cause)) throw cause;
      logger.error('note-dropped', { what: this.#name, job, ...whyOf(cause) });
    }
    this.#sent(job, what);
  }

  /** Unless there is news of the job since. */
  #sent(job: string, what: T): void {
    if (this.#waiting.get(job) === what) this.#waiting.delete(job);
  }
}

/** Refused by the brokers, too: rights may be given. */
function isPassing(cause: unknown): boolean {
  return cause instanceof TidemarkError && (cause.retryable || cause.code === 'TM_BUS_REFUSED');
}
