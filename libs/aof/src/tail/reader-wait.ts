import { watch, type FSWatcher } from 'node:fs';
import type { Clock } from '@tidemark/core';

/** Sleeps until something happened or time is up; forgets nothing that happened in between. */
export class Waker {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #news = false;
  #wake: (() => void) | null = null;
  readonly #onAbort = (): void => this.wake();

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Something happened. */
  wake(): void {
    this.#news = true;
    this.#wake?.();
  }

  /** Waits for news, at most `delayMs`. Does not throw on abort: the caller looks. */
  async wait(delayMs: number): Promise<void> {
    if (!this.#news && !this.#signal.aborted) {
      const stop = new AbortController();
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const sleep = this.#clock.sleep(delayMs, stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) throw error;
      });
      try {
        await Promise.race([news, sleep]);
      } finally {
        this.#wake = null;
        stop.abort();
      }
    }
    this.#news = false;
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

/**
 * Tells once that a file grew. The watch is removed with the first event: a server under load
 * appends thousands of times a second, and one wake-up per append would cost a core.
 */
export class GrowthWatch {
  #watcher: FSWatcher | null = null;

  /** @returns Whether a watch could be set (else the caller polls). */
  arm(path: string, onGrowth: () => void): boolean {
    this.close();
    try {
      const watcher = watch(path, () => {
        watcher.close();
        if (this.#watcher !== watcher) return;
        this.#watcher = null;
        onGrowth();
      });
      watcher.on('error', () => watcher.close());
      this.#watcher = watcher;
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = null;
  }
}
