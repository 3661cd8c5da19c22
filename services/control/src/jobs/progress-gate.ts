import type { JobProgress } from './job.ts';
import { NO_PROGRESS } from './job-machine.ts';

/** Lets progress through at most every so often; the last word is never lost. */
export class ProgressGate implements Disposable {
  readonly #everyMs: number;
  readonly #put: (progress: JobProgress) => void;
  #now: JobProgress;
  #timer: NodeJS.Timeout | null = null;
  #isDue = false;

  constructor(everyMs: number, from: JobProgress, put: (progress: JobProgress) => void) {
    this.#everyMs = everyMs;
    this.#now = from;
    this.#put = put;
  }

  /** What is not said stays within a phase, and begins anew with the next one. */
  say(news: Partial<JobProgress> & { readonly phase: string }): void {
    const known = this.#now;
    const base = news.phase === known.phase ? known : { ...NO_PROGRESS, percent: known.percent };
    const next = { ...base, ...news };
    this.#now = { ...next, percent: percentOf(next.percent) };
    this.#isDue = true;
    // A phase that begins is told at once.
    if (news.phase !== known.phase || this.#timer === null) this.#flush();
  }

  /** What was not let through yet is not told. */
  drop(): void {
    this.#isDue = false;
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isDue) this.#put(this.#now);
    this.#isDue = false;
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#isDue) return;
    this.#isDue = false;
    this.#put(this.#now);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#flush();
    }, this.#everyMs);
  }
}

function percentOf(value: number): number {
  return Number.isFinite(value) ? Math.round(Math.min(100, Math.max(0, value)) * 10) / 10 : 0;
}
