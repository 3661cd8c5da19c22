import type { JobEvent } from './job.ts';

/** Told of every change of a job that this process makes. */
export type JobListener = (event: JobEvent) => void;

/**
 * News within one process. Other processes write to the same database: who waits looks there too, every
 * now and then.
 */
export class JobNews {
  readonly #listeners = new Set<JobListener>();
  readonly #waiting = new Set<() => void>();

  /** @returns Ends the listening. */
  onEvent(listener: JobListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells everybody. */
  tell(event: JobEvent): void {
    for (const listener of this.#listeners) listener(event);
    this.wake();
  }

  /** Ends every wait. */
  wake(): void {
    for (const go of [...this.#waiting]) go();
  }

  /** Waits for news, a time, or the signal. Never throws. */
  async wait(maxMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        signal.removeEventListener('abort', go);
        resolve();
      };
      const timer = setTimeout(go, maxMs);
      this.#waiting.add(go);
      signal.addEventListener('abort', go, { once: true });
    });
  }
}
