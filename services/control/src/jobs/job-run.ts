import { CatalogError, TidemarkError } from '@tidemark/core';
import { isPassing, isPassingClaim, LOG_HOLD_MS, type ClaimAnswer } from './instance-claims.ts';
import type { Job, JobContext, JobHandler, JobLine, JobOutcome, Json } from './job.ts';
import { TRIES_MAX, type JobCommand, type JobFold } from './job-machine.ts';
import { ProgressGate } from './progress-gate.ts';
import { renewClaim } from './renew-claim.ts';
import { isStale, type RunParts } from './run-parts.ts';
import { endedElsewhere, JobCancelled, JobTakenOver, problemOf, WorkerStops } from './why-ended.ts';

const CHECKPOINT_CHARS_MAX = 65_536;
/** Attempts that a fault in passing is waited out with. */
const PASSING_TRIES_MAX = 4;
const PROGRESS_MS = 500;
/** How long a job waits that another worker holds, or that the store cannot be asked for. */
const HELD_MS = 10_000;
const STORE_AWAY_MS = 5_000;
/** How long the host that has ended a job is given to tell what came of it. */
const TELL_MS = 30_000;
const PERSIST_PAUSE_MS = 1_000;

/** One attempt of one job, from its claim to its end. */
export class JobRun {
  readonly job: Job;
  readonly #parts: RunParts;
  readonly #over = new AbortController();
  /** Until the job is lost: a clean-up goes on after a cancel, not after that. */
  readonly #held = new AbortController();
  #fold: JobFold;
  #checkpoint: Json = null;
  /** The first reason of a signal stands: that the worker stops may be a later one. */
  #stops = false;
  /** Until when the claim in the log holds, in monotonic milliseconds. */
  #loggedUntilMs = Infinity;

  constructor(fold: JobFold, parts: RunParts) {
    this.job = fold.job;
    this.#fold = fold;
    this.#parts = parts;
  }

  /** Whether somebody else has it by now: nothing is written about it any more. */
  #isLost(): boolean {
    return this.#held.signal.aborted;
  }

  /** Ends the work for a reason. */
  abort(reason: Error): void {
    if (reason instanceof JobTakenOver) this.#held.abort(reason);
    if (reason instanceof WorkerStops) this.#stops = true;
    this.#over.abort(reason);
  }

  /** Extends the claim. Its row is put back where the database was made anew. */
  beat(): void {
    const { desk, rows, worker, clock, claimMs } = this.#parts;
    const untilMs = clock.nowMs() + claimMs;
    try {
      const known = rows.db.read(() => rows.standing(this.job.id));
      if (known === null) {
        const fold = { ...this.#fold, claim: { worker, untilMs } };
        const exclusive = desk.handler(this.job.kind).exclusive(this.job);
        rows.db.write(() => {
          rows.save(fold, exclusive, clock.nowMs());
          rows.saveCheckpoint(this.job.id, this.#checkpoint);
        });
      }
      this.#command({ type: 'beat', worker, untilMs });
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || cause.code !== 'TM_JOB_LOST') throw cause;
      this.abort(new JobTakenOver(this.job.id));
    }
  }

  /** Looks whether it was cancelled, or is another worker's by now. */
  look(): void {
    const { rows, worker } = this.#parts;
    const { id } = this.job;
    this.#lookAtTime();
    if (this.#isLost()) return;
    const known = rows.db.read(() => rows.standing(id));
    if (known === null) return;
    if (known.worker !== worker) this.abort(new JobTakenOver(id));
    else if (known.state === 'cancelling') this.abort(new JobCancelled(id));
  }

  /** Does the work. Never throws. */
  async perform(): Promise<void> {
    const { desk, rows, logger } = this.#parts;
    const { id, kind } = this.job;
    let renewing: NodeJS.Timeout | undefined;
    try {
      if (!(await this.#claimInLog())) return;
      renewing = renewClaim(this.job, this.#parts, {
        held: (untilMs) => (this.#loggedUntilMs = untilMs),
        lost: () => this.abort(new JobTakenOver(id)),
      });
      this.#checkpoint = rows.db.read(() => rows.checkpoint(id));
      const handler = desk.handler(kind);
      if (this.#fold.job.state === 'cancelling' || this.#fold.failing !== null) {
        await this.#cleanUp(handler);
      } else {
        await this.#work(handler);
      }
      if (this.#isLost()) await this.#letGo();
    } catch (cause) {
      const { code, message } = problemOf(cause);
      logger.error('job-run', { job: id, kind, code, error: message });
      // Where even this cannot be written down, its claim ends by itself.
      await this.#release(STORE_AWAY_MS, false).catch((error: unknown) =>
        logger.error('job-release', { job: id, code: problemOf(error).code }),
      );
    } finally {
      clearInterval(renewing);
    }
  }

  /** @returns False when the job is not to be done now. */
  async #claimInLog(): Promise<boolean> {
    const { claims, worker, rows, clock } = this.#parts;
    const { id } = this.job;
    const first = this.#fold.tries === 1;
    try {
      if (isStale(this.#fold, this.#parts)) return this.#forget();
      const askedMs = clock.monotonicMs();
      const isOwner = (): boolean =>
        (rows.db.read(() => rows.standing(id))?.worker ?? worker) === worker;
      const answer = await claims.claim(this.#fold, worker, isOwner);
      if (answer.kind === 'granted') {
        this.#loggedUntilMs = askedMs + LOG_HOLD_MS;
        const { attempt } = answer;
        rows.db.write(() => {
          this.#command({ type: 'grant', worker, attempt });
          rows.noteLogged(id, attempt);
        });
        return true;
      }
      if (answer.kind === 'done' && answer.knownMs >= TELL_MS) return await this.#adopt(answer);
      const isBegun = rows.db.read(() => rows.isBegun(id));
      if (this.#fold.foreign && !isBegun && answer.kind === 'forgotten') return this.#forget();
      if (answer.kind === 'forgotten') {
        throw new CatalogError('TM_JOB_LOST', 'nobody can say whether this job was done already', {
          context: { job: id },
          hint: 'nothing was done now: ask for it anew',
        });
      }
      const why = answer.kind === 'full' ? answer.why : 'a worker of another host has this job';
      if (first) this.#line('info', `waits: ${why}`);
      await this.#release(HELD_MS, true);
    } catch (cause) {
      if (isPassingClaim(cause)) {
        const { code, message } = problemOf(cause);
        const what = isPassing(cause) ? 'the store does not answer' : 'the log is in use';
        if (first) this.#line('warn', `waits: ${what}: ${message} (${code})`);
        await this.#release(STORE_AWAY_MS, true);
        return false;
      }
      // It is not for this job to be done with such a log; nothing was begun.
      return this.#failUnclaimed(cause);
    }
    return false;
  }

  /** Its worker was given time to tell: how it ended is what is left to know. */
  async #adopt({ attempt }: ClaimAnswer & { kind: 'done' }): Promise<false> {
    const { worker, clock, claims } = this.#parts;
    const state = (await claims.outcomeOf(this.job)) ?? 'failed';
    const problem = state === 'failed' ? endedElsewhere(this.job.id) : null;
    this.#line('info', `a worker of another host has ended this job: ${state}`);
    const nowMs = clock.nowMs();
    await this.#persist({ type: 'adopt', worker, nowMs, attempt, state, problem });
    return false;
  }

  #forget(): false {
    const { rows, desk } = this.#parts;
    rows.db.write(() => rows.remove(this.job.id));
    desk.news.wake();
    return false;
  }

  async #failUnclaimed(cause: unknown): Promise<boolean> {
    const { worker, clock } = this.#parts;
    // Whoever ordered it knows by the attempt that this end is one of its order.
    await this.#persist({ type: 'grant', worker, attempt: this.job.attempt + 1 });
    await this.#persist({ type: 'fail', worker, problem: problemOf(cause) });
    if (this.#isLost()) return false;
    this.#line('error', problemOf(cause).message);
    // Where it was done elsewhere, or nobody knows, what earlier attempts began here is taken back afterwards.
    const left = problemOf(cause).code === 'TM_JOB_LOST';
    await this.#persist({ type: 'settle', worker, nowMs: clock.nowMs(), left });
    return false;
  }

  async #work(handler: JobHandler): Promise<void> {
    const { clock, worker } = this.#parts;
    const { signal } = this.#over;
    let outcome: JobOutcome | null = null;
    let failure: unknown = null;
    {
      using gate = new ProgressGate(PROGRESS_MS, this.#fold.job.progress, (progress) =>
        this.#quietly(() => this.#command({ type: 'progress', worker, progress })),
      );
      try {
        this.look();
        signal.throwIfAborted();
        outcome = await handler.run(this.#context(gate));
      } catch (cause) {
        failure = cause;
      }
      if (this.#isLost()) gate.drop();
    }
    if (this.#isLost()) return;
    if (outcome !== null) {
      await this.#persist({ type: 'succeed', worker, nowMs: clock.nowMs(), outcome });
      if (!this.#isLost()) await this.#endInLog();
    } else {
      await this.#failed(failure, handler);
    }
  }

  async #failed(cause: unknown, handler: JobHandler): Promise<void> {
    const { worker } = this.#parts;
    const { reason } = this.#over.signal as { readonly reason: unknown };
    if (reason instanceof WorkerStops) {
      this.#line('info', 'the worker stops: another one goes on');
      await this.#release(0, true);
      if (!this.#isLost()) await this.#endInLog('waiting');
      return;
    }
    const problem = problemOf(cause);
    if (reason instanceof JobCancelled) {
      this.#line('info', 'cancelled: what was begun is taken back');
    } else if (isPassing(cause) && this.#fold.tries < PASSING_TRIES_MAX) {
      const pauseMs = STORE_AWAY_MS * 2 ** (this.#fold.tries - 1);
      const when = `in ${Math.round(pauseMs / 1000).toString()} s`;
      this.#line('warn', `${problem.message} (${problem.code}): another attempt follows ${when}`);
      await this.#release(pauseMs, false);
      return;
    } else {
      this.#line('error', `${problem.message} (${problem.code})`);
      await this.#persist({ type: 'fail', worker, problem });
    }
    await this.#cleanUp(handler);
  }

  /** What another worker has by now is not touched: it may be whole, and in use. */
  async #cleanUp(handler: JobHandler): Promise<void> {
    const { worker, clock } = this.#parts;
    const { job } = this.#fold;
    this.#lookAtTime();
    if (!this.#isLost()) this.beat();
    if (this.#isLost()) return;
    try {
      await handler.cleanUp({
        job,
        signal: this.#held.signal,
        checkpoint: this.#checkpoint,
        keep: async (checkpoint) => this.#keep(checkpoint),
        log: (level, message) => this.#line(level, message),
      });
    } catch (cause) {
      if (this.#isLost()) return;
      const { code, message } = problemOf(cause);
      this.#line('error', `what was begun could not be taken back: ${message} (${code})`);
      if (this.#fold.tries < TRIES_MAX) {
        await this.#release(STORE_AWAY_MS, false);
        return;
      }
      this.#line('error', 'it is left as it is: look after it by hand');
    }
    if (this.#isLost()) return;
    await this.#persist({ type: 'settle', worker, nowMs: clock.nowMs() });
    if (!this.#isLost()) await this.#endInLog();
  }

  #context(gate: ProgressGate): JobContext {
    return {
      job: this.#fold.job,
      signal: this.#over.signal,
      checkpoint: this.#checkpoint,
      keep: async (checkpoint) => this.#keep(checkpoint),
      progress: (progress) => gate.say(progress),
      log: (level, message) => this.#line(level, message),
    };
  }

  #keep(checkpoint: Json): Promise<void> {
    const { rows, worker } = this.#parts;
    const { id } = this.job;
    if (JSON.stringify(checkpoint).length > CHECKPOINT_CHARS_MAX) {
      throw new CatalogError('TM_JOB_STATE', 'a checkpoint is over the limit of 64 KiB');
    }
    this.#lookAtTime();
    rows.db.write(() => {
      if (rows.standing(id)?.worker !== worker) this.abort(new JobTakenOver(id));
      if (!this.#isLost()) rows.saveCheckpoint(id, checkpoint);
    });
    this.#held.signal.throwIfAborted();
    this.#checkpoint = checkpoint;
    return Promise.resolve();
  }

  /** A claim that could not be renewed is another host's to take: nothing is done after its time. */
  #lookAtTime(): void {
    if (this.#parts.clock.monotonicMs() < this.#loggedUntilMs) return;
    this.abort(new JobTakenOver(this.job.id));
  }

  /** Where only the claim in the log was lost, the job waits: the next attempt asks for it there. */
  async #letGo(): Promise<void> {
    const { worker, clock } = this.#parts;
    const notBeforeMs = clock.nowMs() + STORE_AWAY_MS;
    await this.#persist({ type: 'release', worker, notBeforeMs, excused: true });
  }

  /** What is not said now, another try says later. */
  async #endInLog(outcome?: 'waiting'): Promise<void> {
    const { claims, worker, rows, logger } = this.#parts;
    const { job } = this.#fold;
    const { state } = job;
    const said = outcome ?? (state === 'queued' || state === 'running' ? 'waiting' : state);
    try {
      await claims.end(job, worker, said === 'cancelling' ? 'waiting' : said);
      rows.db.write(() => rows.noteUnlogged(job.id, job.attempt));
    } catch (cause) {
      const { code, message } = problemOf(cause);
      logger.warn('job-end', { job: job.id, code, error: message });
    }
  }

  async #release(pauseMs: number, excused: boolean): Promise<void> {
    if (this.#isLost()) return;
    const { worker, clock } = this.#parts;
    const notBeforeMs = clock.nowMs() + pauseMs;
    await this.#persist({ type: 'release', worker, notBeforeMs, excused });
  }

  /** Where the disk is full it is waited for, as long as the worker runs. */
  async #persist(command: JobCommand): Promise<void> {
    const { logger } = this.#parts;
    for (;;) {
      try {
        this.#command(command);
        return;
      } catch (cause) {
        const { code, message } = problemOf(cause);
        if (code === 'TM_JOB_LOST') {
          this.abort(new JobTakenOver(this.job.id));
          return;
        }
        logger.error('job-state', { job: this.job.id, code, error: message });
        if (code !== 'TM_STATE_FULL' || this.#stops) throw cause;
        await new Promise((resolve) => setTimeout(resolve, PERSIST_PAUSE_MS));
      }
    }
  }

  #command(command: JobCommand): void {
    this.#fold = this.#parts.desk.command(this.job.id, command);
  }

  #line(level: JobLine['level'], message: string): void {
    const { rows, clock, logger } = this.#parts;
    logger[level === 'info' ? 'info' : level]('job-line', { job: this.job.id, line: message });
    this.#quietly(() =>
      rows.db.write(() => rows.addLine(this.job.id, { atMs: clock.nowMs(), level, message })),
    );
  }

  /** What cannot be kept of progress and lines ends no job. */
  #quietly(work: () => void): void {
    try {
      work();
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      this.#parts.logger.warn('job-note', { job: this.job.id, code: cause.code });
    }
  }
}
