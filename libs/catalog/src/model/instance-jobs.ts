import { idMadeMs } from '@tidemark/core';

/** A worker has a job of the instance, until a time; it may go on longer when it says so. */
export interface JobClaimed {
  readonly type: 'JobClaimed';
  readonly job: string;
  /** What it does, e.g. `restore`. */
  readonly kind: string;
  /** Who asked for it: the name of an actor. */
  readonly by: string;
  readonly worker: string;
  /** Grows with every attempt of a job. */
  readonly attempt: number;
  readonly untilMs: number;
  readonly atMs: number;
}

/** The worker still has it. */
export interface JobRenewed {
  readonly type: 'JobRenewed';
  readonly job: string;
  readonly worker: string;
  readonly untilMs: number;
}

/** The attempt is over. */
export interface JobEnded {
  readonly type: 'JobEnded';
  readonly job: string;
  readonly worker: string;
  /** `waiting`: the worker lets go, and another attempt follows. */
  readonly outcome: 'succeeded' | 'partial' | 'failed' | 'cancelled' | 'waiting';
  readonly atMs: number;
}

/** An event of jobs. */
export type JobLogEvent = JobClaimed | JobRenewed | JobEnded;

/** A claim whose end is not known. */
export interface OpenJob {
  readonly job: string;
  readonly kind: string;
  readonly by: string;
  readonly worker: string;
  readonly attempt: number;
  readonly untilMs: number;
  readonly atMs: number;
}

/** The last attempt of a job that has ended. */
export interface EndedJob {
  readonly job: string;
  readonly attempt: number;
  readonly atMs: number;
}

/** What an instance log says of jobs. */
export interface JobsState {
  readonly open: readonly OpenJob[];
  /** Those that ended within a day and the last 64, so that none is done twice; the oldest first. */
  readonly ended: readonly EndedJob[];
  /**
   * Of jobs up to this id more ended than are remembered: of one before it nobody can say. Null: none. Never
   * an id that a clock made which was ahead: it would stand before every job until that time.
   */
  readonly forgotten: string | null;
}

/** No job was ever claimed. */
export const NO_JOBS: JobsState = { open: [], ended: [], forgotten: null };

/** Open claims of one instance, and ends that are remembered. */
export const OPEN_JOBS_MAX = 64;
export const ENDED_JOBS_MAX = 512;
/** Ends that are remembered whatever their age. */
const ENDED_JOBS_KEPT = 64;
/** An order that was sent to other hosts may come again for hours: ends are remembered for longer than that. */
const ENDED_MS = 86_400_000;
/** An id that is made so much later than another host says it is was made by a clock that is ahead. */
const AHEAD_MS = 60_000;
/** How long the claim of a worker that is not heard of stays, in milliseconds. */
const LOST_KEPT_MS = 7 * 86_400_000;

/** Why an event of jobs may not follow; null when it may. */
export function jobRefusal(state: JobsState, event: JobLogEvent): string | null {
  const { open, ended } = state;
  const held = open.find(({ job }) => job === event.job);
  if (event.type !== 'JobClaimed') {
    return held?.worker === event.worker ? null : 'the worker does not have the job';
  }
  const { job, worker, attempt, atMs } = event;
  if (ended.some((one) => one.job === job && one.attempt >= attempt)) return 'the job has ended';
  if (held !== undefined) {
    if (held.worker !== worker && held.untilMs > atMs) return 'another worker has the job';
    return held.attempt > attempt ? 'a later attempt was claimed' : null;
  }
  if (isForgotten(state, job, atMs)) return 'it cannot be known whether the job was done';
  return kept(open, atMs).length < OPEN_JOBS_MAX ? null : `more than ${OPEN_JOBS_MAX} open jobs`;
}

/**
 * Whether a job may have ended so long ago, in the order of ids, that its end is remembered no more.
 * @param nowMs - When it is asked. Where the clocks of all were ahead for a time, ids of then say nothing.
 */
export function isForgotten(
  { open, ended, forgotten }: JobsState,
  job: string,
  nowMs: number,
): boolean {
  if (forgotten === null || job > forgotten || madeMs(forgotten) > nowMs + ENDED_MS) return false;
  return ![...open, ...ended].some((one) => one.job === job);
}

/** The state after an event of jobs. */
export function jobsAfter(state: JobsState, event: JobLogEvent): JobsState {
  const { open, ended } = state;
  switch (event.type) {
    case 'JobClaimed': {
      const { type: _type, ...claim } = event;
      const others = kept(open, event.atMs).filter(({ job }) => job !== event.job);
      return { ...state, open: [...others, claim] };
    }
    case 'JobRenewed': {
      const { job, untilMs } = event;
      return { ...state, open: open.map((one) => (one.job === job ? { ...one, untilMs } : one)) };
    }
    case 'JobEnded': {
      const held = open.find(({ job }) => job === event.job);
      const left = open.filter(({ job }) => job !== event.job);
      if (held === undefined || event.outcome === 'waiting') return { ...state, open: left };
      const { job, atMs } = event;
      const known = ended.filter((one) => one.job !== job);
      const all = [...known, { job, attempt: held.attempt, atMs }];
      return { open: left, ...remembered(all, state.forgotten) };
    }
  }
}

/** Ends over the maximum are let go of by number alone: what they were is then said of all ids before them. */
function remembered(
  all: readonly EndedJob[],
  before: string | null,
): Pick<JobsState, 'ended' | 'forgotten'> {
  const nowMs = all.at(-1)?.atMs ?? 0;
  const young = all.filter(
    ({ atMs }, i) => i >= all.length - ENDED_JOBS_KEPT || atMs + ENDED_MS > nowMs,
  );
  const over = young.length - ENDED_JOBS_MAX;
  if (over <= 0) return { ended: young, forgotten: before };
  const isAhead = ({ job }: EndedJob): boolean => madeMs(job) > nowMs + AHEAD_MS;
  // Those that are ahead stay as long as others can go instead: nothing is said of ids before them.
  const others = young.filter((one) => !isAhead(one));
  const gone = new Set(
    others.length > ENDED_JOBS_KEPT ? others.slice(0, over) : young.slice(0, over),
  );
  let forgotten = before;
  for (const one of gone) {
    if (!isAhead(one) && (forgotten === null || one.job > forgotten)) forgotten = one.job;
  }
  return { ended: young.filter((one) => !gone.has(one)), forgotten };
}

/** When the id of a job was made, by the clock of its host; 0 for one that is no id of `makeId`. */
function madeMs(job: string): number {
  return job.startsWith('job-') ? (idMadeMs(job.slice(4)) ?? 0) : 0;
}

const kept = (open: readonly OpenJob[], atMs: number): readonly OpenJob[] =>
  open.filter(({ untilMs }) => untilMs + LOST_KEPT_MS > atMs);
