import { CatalogError, UsageError } from '@tidemark/core';
import type { Actor, Job, JobOutcome, JobProblem, JobProgress } from './job.ts';
import { refuseTakeBack, refuseWhileTakenBack } from './left-job.ts';

/** Attempts of a job, since it was asked for or resumed, before it is given up. */
export const TRIES_MAX = 5;
/** Attempts of a job in all: after so many it is asked for anew. */
const ATTEMPTS_MAX = 100;

/** No job waits longer than this, in milliseconds: one that would was told by a clock that was ahead. */
export const PAUSE_MS_MAX = 3_600_000;

/** Right to work on a job, until a time. */
export interface JobClaim {
  readonly worker: string;
  readonly untilMs: number;
}

/** A job, and what only the machine needs to know of it. */
export interface JobFold {
  readonly job: Job;
  /** Of a job that has ended: of who takes away what is left of it here. */
  readonly claim: JobClaim | null;
  /** Attempts since it was asked for or resumed. */
  readonly tries: number;
  /** Attempts that it had when it was asked for or resumed: an end of a later one is an end of this wish. */
  readonly ordered: number;
  /**
   * Whether an attempt was begun whose traces were not taken away since. Of a job that has ended: another host ended
   * it, or nobody knows who, and what this one had begun is to be taken back.
   */
  readonly touched: boolean;
  /** Why it will fail, once its traces are taken away. */
  readonly failing: JobProblem | null;
  /** It waits until then. */
  readonly notBeforeMs: number;
  /** It came from another host: what becomes of it is that host's to tell. */
  readonly foreign: boolean;
  /** When it was last heard that its host wants it done; null: it is no foreign one. */
  readonly orderedMs: number | null;
  /**
   * How often it was asked for: first, and at each resume. Absent: once; of a foreign one, its host does not
   * count. A cancel from before is not of this order.
   */
  readonly wishes?: number;
  /** When its host wished for it, by the clock of that. */
  readonly wishedMs?: number;
}

/** How a job ends. */
export type EndState = 'succeeded' | 'partial' | 'failed' | 'cancelled';

/** What a worker or somebody who asks wants of a job. */
export type JobCommand =
  | {
      readonly type: 'claim';
      readonly worker: string;
      readonly nowMs: number;
      readonly untilMs: number;
      /** A claim that was seen unchanged for as long as one holds: its worker is gone. */
      readonly silent?: JobClaim | null;
    }
  /** The log of the instance has granted it: an attempt begins. A claim that waits there is none. */
  | { readonly type: 'grant'; readonly worker: string; readonly attempt: number }
  /** Another host has ended it. */
  | {
      readonly type: 'adopt';
      readonly worker: string;
      readonly nowMs: number;
      readonly attempt: number;
      readonly state: EndState;
      readonly problem: JobProblem | null;
    }
  | { readonly type: 'beat'; readonly worker: string; readonly untilMs: number }
  | { readonly type: 'progress'; readonly worker: string; readonly progress: JobProgress }
  /** The worker stops, or it cannot go on now: the job waits again. */
  | {
      readonly type: 'release';
      readonly worker: string;
      readonly notBeforeMs: number;
      /** It is no fault of the job. */
      readonly excused: boolean;
    }
  /** A last failure: the traces are taken away next. */
  | { readonly type: 'fail'; readonly worker: string; readonly problem: JobProblem }
  | {
      readonly type: 'succeed';
      readonly worker: string;
      readonly nowMs: number;
      readonly outcome: JobOutcome;
    }
  /** The traces are taken away, or left: it ends as cancelled or failed. */
  | {
      readonly type: 'settle';
      readonly worker: string;
      readonly nowMs: number;
      readonly left?: boolean;
    }
  /** It has ended elsewhere: what was begun of it here is taken away. */
  | {
      readonly type: 'take-back';
      readonly worker: string;
      readonly nowMs: number;
      readonly untilMs: number;
      /** Whether the process of who had this before provably lives no more. */
      readonly isGone: boolean;
    }
  /** That was done, or is to be tried again. */
  | { readonly type: 'taken-back'; readonly worker: string; readonly isDone: boolean }
  | { readonly type: 'cancel'; readonly actor: Actor; readonly nowMs: number }
  | { readonly type: 'resume'; readonly nowMs: number };

/** What became of a job. */
export type JobChange =
  | {
      readonly type: 'claimed';
      readonly claim: JobClaim;
      readonly atMs: number;
      readonly failing: JobProblem | null;
    }
  | { readonly type: 'granted'; readonly attempt: number }
  | {
      readonly type: 'adopted';
      readonly attempt: number;
      readonly state: EndState;
      readonly problem: JobProblem | null;
      readonly atMs: number;
    }
  | { readonly type: 'beaten'; readonly untilMs: number }
  | { readonly type: 'progressed'; readonly progress: JobProgress }
  | { readonly type: 'released'; readonly notBeforeMs: number; readonly excused: boolean }
  | { readonly type: 'failing'; readonly problem: JobProblem }
  | { readonly type: 'succeeded'; readonly outcome: JobOutcome; readonly atMs: number }
  | {
      readonly type: 'settled';
      readonly state: 'failed' | 'cancelled';
      readonly atMs: number;
      readonly left?: boolean;
    }
  | { readonly type: 'taking-back'; readonly claim: JobClaim }
  | { readonly type: 'taken-back'; readonly isDone: boolean }
  | { readonly type: 'cancelling' }
  | { readonly type: 'resumed'; readonly atMs: number };

/** Nothing was done yet. */
export const NO_PROGRESS: JobProgress = {
  phase: 'queued',
  percent: 0,
  bytesDone: 0,
  bytesTotal: 0,
  keysDone: 0,
  etaSeconds: null,
};

/** A job that was just asked for. */
export function newFold(
  facts: Pick<Job, 'id' | 'kind' | 'instance' | 'actor' | 'request' | 'createdMs'>,
): JobFold {
  const job: Job = {
    ...facts,
    state: 'queued',
    progress: NO_PROGRESS,
    attempt: 0,
    resumable: false,
    result: null,
    problem: null,
    worker: null,
    startedMs: null,
    endedMs: null,
  };
  return {
    job,
    claim: null,
    tries: 0,
    ordered: 0,
    touched: false,
    failing: null,
    notBeforeMs: 0,
    foreign: false,
    orderedMs: null,
  };
}

/** Whether a job is over. */
export function isOver({ state }: Pick<Job, 'state'>): boolean {
  return state !== 'queued' && state !== 'running' && state !== 'cancelling';
}

/** Whether a worker may take a job now; another one's claim only where that was seen to be silent. */
export function isFree(
  { job, claim, notBeforeMs }: JobFold,
  nowMs: number,
  silent: JobClaim | null = null,
): boolean {
  if (isOver(job)) return false;
  if (claim === null) return notBeforeMs <= nowMs || notBeforeMs > nowMs + PAUSE_MS_MAX;
  return silent?.worker === claim.worker && silent.untilMs === claim.untilMs;
}

/**
 * Asks whether something may happen to a job now.
 * @returns What happens; null = nothing is left to do.
 * @throws UsageError `TM_JOB_OVER`, `TM_JOB_STATE`; CatalogError `TM_JOB_LOST` for a worker that has
 *   the job no more.
 */
export function decide(fold: JobFold, command: JobCommand): JobChange | null {
  switch (command.type) {
    case 'claim':
      return decideClaim(fold, command);
    case 'cancel':
      return decideCancel(fold, command.nowMs);
    case 'take-back':
      refuseTakeBack(fold, command.nowMs, command.isGone);
      return { type: 'taking-back', claim: { worker: command.worker, untilMs: command.untilMs } };
    case 'resume':
      refuseWhileTakenBack(fold, command.nowMs);
      if (fold.job.resumable && fold.job.attempt < ATTEMPTS_MAX)
        return { type: 'resumed', atMs: command.nowMs };
      throw new UsageError(
        'TM_JOB_STATE',
        `job ${fold.job.id} cannot be resumed: it ${toldState(fold.job)}`,
        {
          context: { job: fold.job.id, state: fold.job.state },
          hint: 'a job that failed or was cancelled can be resumed; ask for a new one',
        },
      );
    default:
      return decideWork(fold, command);
  }
}

function decideClaim(fold: JobFold, command: JobCommand & { type: 'claim' }): JobChange {
  const { worker, nowMs, untilMs, silent = null } = command;
  const { job, tries, failing } = fold;
  if (!isFree(fold, nowMs, silent)) {
    throw new CatalogError('TM_JOB_STATE', `job ${job.id} is not free: it ${toldState(job)}`, {
      context: { job: job.id, state: job.state, worker: job.worker },
    });
  }
  const worn = job.state !== 'cancelling' && tries >= TRIES_MAX;
  const given: JobProblem = {
    code: 'TM_JOB_LOST',
    message: `${TRIES_MAX.toString()} attempts ended without a word`,
    hint: 'the log of its workers says why; then resume it',
  };
  const claim = { worker, untilMs };
  return { type: 'claimed', claim, atMs: nowMs, failing: failing ?? (worn ? given : null) };
}

function decideCancel({ job, touched, claim }: JobFold, nowMs: number): JobChange | null {
  if (isOver(job)) {
    throw new UsageError('TM_JOB_OVER', `job ${job.id} ${toldState(job)}`, {
      context: { job: job.id, state: job.state },
    });
  }
  if (job.state === 'cancelling') return null;
  const never = claim === null && !touched;
  return never ? { type: 'settled', state: 'cancelled', atMs: nowMs } : { type: 'cancelling' };
}

type WorkCommand = Exclude<JobCommand, { type: 'claim' | 'cancel' | 'resume' | 'take-back' }>;

function decideWork({ job, claim, failing }: JobFold, command: WorkCommand): JobChange | null {
  if (claim?.worker !== command.worker) {
    throw new CatalogError('TM_JOB_LOST', `job ${job.id} is no more the one of this worker`, {
      context: { job: job.id, worker: command.worker, holder: claim?.worker ?? null },
    });
  }
  switch (command.type) {
    case 'grant':
      return { type: 'granted', attempt: command.attempt };
    case 'adopt': {
      const { attempt, state, problem, nowMs: atMs } = command;
      return { type: 'adopted', attempt, state, problem, atMs };
    }
    case 'beat':
      return { type: 'beaten', untilMs: command.untilMs };
    case 'progress':
      return { type: 'progressed', progress: command.progress };
    case 'release':
      return { type: 'released', notBeforeMs: command.notBeforeMs, excused: command.excused };
    case 'fail':
      return job.state === 'cancelling'
        ? null
        : { type: 'failing', problem: failing ?? command.problem };
    case 'succeed':
      // What was done before the cancel came is done.
      return { type: 'succeeded', outcome: command.outcome, atMs: command.nowMs };
    case 'taken-back':
      return { type: 'taken-back', isDone: command.isDone };
    case 'settle': {
      const { nowMs: atMs, left = false } = command;
      if (job.state === 'cancelling') return { type: 'settled', state: 'cancelled', atMs, left };
      if (failing !== null) return { type: 'settled', state: 'failed', atMs, left };
      throw new CatalogError('TM_JOB_STATE', `job ${job.id} has nothing to settle`, {
        context: { job: job.id, state: job.state },
      });
    }
  }
}

/** The job after a change. */
export function evolve(fold: JobFold, change: JobChange): JobFold {
  const { job } = fold;
  switch (change.type) {
    case 'claimed': {
      const { claim, atMs, failing } = change;
      const state = job.state === 'cancelling' ? 'cancelling' : 'running';
      const next = { state, worker: claim.worker } as const;
      return {
        ...fold,
        claim,
        tries: fold.tries + 1,
        touched: true,
        failing,
        job: { ...job, ...next, startedMs: job.startedMs ?? atMs },
      };
    }
    case 'granted':
      return { ...fold, job: { ...job, attempt: Math.max(job.attempt, change.attempt) } };
    case 'adopted': {
      const { state, problem, atMs } = change;
      const attempt = Math.max(job.attempt, change.attempt);
      const resumable = state === 'failed' || state === 'cancelled';
      const end = { state, problem, attempt, resumable, worker: null, endedMs: atMs };
      // What was begun here was not handed over.
      return { ...ended(fold, { ...job, ...end }), touched: fold.touched };
    }
    case 'beaten':
      return { ...fold, claim: fold.claim && { ...fold.claim, untilMs: change.untilMs } };
    case 'progressed':
      return { ...fold, job: { ...job, progress: change.progress } };
    case 'released': {
      const state = job.state === 'cancelling' ? 'cancelling' : 'queued';
      const { notBeforeMs, excused } = change;
      const tries = fold.tries - (excused ? 1 : 0);
      return { ...fold, claim: null, tries, notBeforeMs, job: { ...job, state, worker: null } };
    }
    case 'failing':
      return { ...fold, failing: change.problem };
    case 'succeeded': {
      const { outcome, atMs } = change;
      const progress = { ...job.progress, phase: 'done', percent: 100, etaSeconds: 0 };
      const end = { ...outcome, progress, resumable: false, worker: null, endedMs: atMs };
      return ended(fold, { ...job, ...end, problem: null });
    }
    case 'settled': {
      const { state, atMs, left = false } = change;
      const problem = state === 'failed' ? fold.failing : null;
      const end = { state, problem, resumable: true, worker: null, endedMs: atMs };
      return { ...ended(fold, { ...job, ...end }), touched: left };
    }
    case 'taking-back':
      return { ...fold, claim: change.claim };
    case 'taken-back':
      return { ...fold, claim: null, touched: !change.isDone };
    case 'cancelling':
      return { ...fold, job: { ...job, state: 'cancelling' }, notBeforeMs: 0 };
    case 'resumed': {
      const again = { state: 'queued', resumable: false, problem: null, endedMs: null } as const;
      return {
        ...fold,
        claim: null,
        tries: 0,
        ordered: job.attempt,
        // Of a foreign one its host counts.
        ...(fold.foreign ? {} : { wishes: (fold.wishes ?? 1) + 1 }),
        notBeforeMs: change.atMs,
        job: { ...job, ...again, progress: NO_PROGRESS },
      };
    }
  }
}

function ended(fold: JobFold, job: Job): JobFold {
  return { ...fold, job, claim: null, touched: false, failing: null };
}

function toldState({ state, worker }: Job): string {
  if (state === 'queued') return 'waits';
  if (state === 'running') return `runs (${worker ?? 'no worker'})`;
  if (state === 'cancelling') return 'is being cancelled';
  return `has ended: ${state}`;
}
