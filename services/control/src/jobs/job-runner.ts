import { TidemarkError } from '@tidemark/core';
import { problemOf, WorkerStops } from './why-ended.ts';
import type { JobClaim } from './job-machine.ts';
import { JobRun } from './job-run.ts';
import type { JobRetention, LeftToOthers } from './job-rows.ts';
import type { RunParts } from './run-parts.ts';
import { SilentClaims } from './silent-claims.ts';

/** How often a worker looks, and how long what it has counts as taken, in milliseconds. */
export interface RunnerTiming {
  /** A worker that is not heard of so long has lost its jobs. */
  readonly claimMs: number;
  readonly beatMs: number;
  readonly pollMs: number;
}

/** As they are when nobody says otherwise. */
export const RUNNER_TIMING: RunnerTiming = { claimMs: 15_000, beatMs: 4_000, pollMs: 250 };

const RETENTION: JobRetention = { count: 5_000, ageMs: 90 * 86_400_000 };
const PRUNE_EVERY_MS = 3_600_000;
const UNLOGGED_EVERY_MS = 10_000;
const UNLOGGED_MAX = 16;
const FAULT_PAUSE_MS = 1_000;

/** What a worker is made of. */
export interface RunnerOptions extends Omit<RunParts, 'claimMs'> {
  /** Jobs at one time. */
  readonly concurrency: number;
  readonly timing?: RunnerTiming;
  /** Whether the process of a worker provably lives no more. */
  readonly isGone?: (worker: string) => boolean;
  /** What is to be left to other hosts now; null or absent = nothing. */
  readonly left?: () => LeftToOthers | null;
}

/** A worker: takes jobs as they come, and those of workers that have died. */
export class JobRunner {
  readonly #options: RunnerOptions;
  readonly #timing: RunnerTiming;
  readonly #silent: SilentClaims;
  readonly #runs = new Map<string, { readonly run: JobRun; readonly done: Promise<void> }>();
  #beatenMs = -Infinity;
  #prunedMs = -Infinity;
  #loggedMs = -Infinity;
  /** A task of its own: claims of live jobs are not to wait for a slow store. */
  #telling: Promise<void> | null = null;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#timing = options.timing ?? RUNNER_TIMING;
    const { clock, worker, isGone } = options;
    this.#silent = new SilentClaims(clock, worker, this.#timing.claimMs, isGone);
  }

  /** Works until the signal. What is under way then is interrupted, and goes on with the next worker. */
  async run(signal: AbortSignal): Promise<void> {
    const { desk, logger, worker } = this.#options;
    logger.info('worker-started', { worker });
    while (!signal.aborted) {
      let pauseMs = this.#timing.pollMs;
      try {
        this.#tick();
        this.#telling ??= this.#tellEnds(signal).finally(() => (this.#telling = null));
      } catch (cause) {
        if (!(cause instanceof TidemarkError)) throw cause;
        logger.error('worker-tick', { code: cause.code, error: cause.message });
        pauseMs = FAULT_PAUSE_MS;
      }
      await desk.news.wait(pauseMs, signal);
    }
    for (const { run } of this.#runs.values()) run.abort(new WorkerStops());
    await this.#drain();
    await this.#telling;
    logger.info('worker-stopped', { worker });
  }

  /** What ends meanwhile still has its claim. */
  async #drain(): Promise<void> {
    const { desk } = this.#options;
    while (this.#runs.size > 0) {
      this.#beat();
      this.#look();
      await desk.news.wait(this.#timing.pollMs, new AbortController().signal);
    }
  }

  #tick(): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#beat();
    this.#look();
    if (nowMs - this.#prunedMs >= PRUNE_EVERY_MS) {
      this.#prunedMs = nowMs;
      const { rows } = this.#options;
      rows.db.write(() => rows.prune(RETENTION, clock.nowMs()) + rows.makeRoom());
    }
    this.#take();
  }

  #beat(): void {
    const { clock, logger } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#beatenMs < this.#timing.beatMs) return;
    this.#beatenMs = nowMs;
    for (const [id, { run }] of this.#runs) {
      try {
        run.beat();
      } catch (cause) {
        const { code, message } = problemOf(cause);
        logger.error('job-beat', { job: id, code, error: message });
      }
    }
  }

  #look(): void {
    for (const { run } of this.#runs.values()) run.look();
  }

  #take(): void {
    const { rows, desk, clock, concurrency, left } = this.#options;
    const { silent, free } = rows.db.read(() => {
      const others = rows.claims(desk.kinds).filter(({ id }) => !this.#runs.has(id));
      return {
        silent: this.#silent.look(others),
        free: rows.free(clock.nowMs(), desk.kinds, concurrency, left?.() ?? null),
      };
    });
    for (const id of [...silent.keys(), ...free]) {
      if (this.#runs.size >= concurrency) return;
      // One that was let go a moment ago may still be about to end here.
      if (!this.#runs.has(id)) this.#begin(id, silent.get(id) ?? null);
    }
  }

  #begin(id: string, silent: JobClaim | null): void {
    const { desk, clock, worker } = this.#options;
    const nowMs = clock.nowMs();
    const untilMs = nowMs + this.#timing.claimMs;
    let fold;
    try {
      fold = desk.command(id, { type: 'claim', worker, nowMs, untilMs, silent });
    } catch (cause) {
      // Another worker was faster, or it was cancelled.
      const { code } = problemOf(cause);
      if (['TM_JOB_STATE', 'TM_NOT_FOUND', 'TM_JOB_OVER', 'TM_JOB_BUSY'].includes(code)) return;
      throw cause;
    }
    const { claimMs } = this.#timing;
    const run = new JobRun(fold, { ...this.#options, claimMs });
    const done = run.perform().finally(() => {
      this.#runs.delete(id);
      desk.news.wake();
    });
    this.#runs.set(id, { run, done });
  }

  /** Says in the logs how jobs ended that could not be said then. */
  async #tellEnds(signal: AbortSignal): Promise<void> {
    const { rows, claims, clock, worker, logger } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#loggedMs < UNLOGGED_EVERY_MS) return;
    this.#loggedMs = nowMs;
    let told: string | null = null;
    try {
      for (const { job } of rows.db.read(() => rows.unlogged(UNLOGGED_MAX))) {
        if (signal.aborted) return;
        const { state, id } = job;
        if (state === 'queued' || state === 'running' || state === 'cancelling') continue;
        if (this.#runs.has(id)) continue;
        told = id;
        await claims.end(job, worker, state);
        // It may have been resumed, and begun again, while this was told.
        rows.db.write(() => rows.noteEnded(id));
      }
    } catch (cause) {
      const { code, message } = problemOf(cause);
      logger.warn('job-end', { job: told, code, error: message });
    }
  }
}
