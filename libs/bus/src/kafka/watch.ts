import { BusError, type Clock } from '@tidemark/core';

/**
 * Notices that a consumer does nothing any more: one of kafkajs that has to let go of a broken
 * connection may wait for ever for answers, and tells nobody.
 */
export class Watch implements Disposable {
  /** Rejects when nothing was seen for too long. */
  readonly over: Promise<never>;
  readonly #clock: Clock;
  readonly #end = new AbortController();
  #seenMs: number;
  #busy = 0;

  constructor(clock: Clock, silenceMsMax: number) {
    this.#clock = clock;
    this.#seenMs = clock.monotonicMs();
    this.over = this.#look(silenceMsMax);
    this.over.catch(() => undefined);
  }

  seen(): void {
    this.#seenMs = this.#clock.monotonicMs();
  }

  /** Work of ours, however long it takes. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
      this.seen();
    }
  }

  [Symbol.dispose](): void {
    this.#end.abort(new Error('the watch is over'));
  }

  async #look(silenceMsMax: number): Promise<never> {
    for (;;) {
      await this.#clock.sleep(silenceMsMax / 4, this.#end.signal);
      const silentMs = this.#clock.monotonicMs() - this.#seenMs;
      if (this.#busy > 0 || silentMs <= silenceMsMax) continue;
      throw new BusError('TM_BUS_DOWN', 'a reader of Kafka hangs', { context: { silentMs } });
    }
  }
}
