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
}

/** What an instance log says of jobs. */
export interface JobsState {
  readonly open: readonly OpenJob[];
  /** The last that ended, so that none is done twice; the oldest first. */
  readonly ended: readonly EndedJob[];
}

/** No job was ever claimed. */
export const NO_JOBS: JobsState = { open: [], ended: [] };

/** Open claims of one instance, and ends that are remembered. */
export const OPEN_JOBS_MAX = 64;
export const ENDED_JOBS_MAX = 64;
/** How long the claim of a worker that is not heard of stays, in milliseconds. */
const LOST_KEPT_MS = 7 * 86_400_000;

/** Why an event of jobs may not follow; null when it may. */
export function jobRefusal({ open, ended }: JobsState, event: JobLogEvent): string | null {
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
  return kept(open, atMs).length < OPEN_JOBS_MAX ? null : `more than ${OPEN_JOBS_MAX} open jobs`;
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
      const others = ended.filter(({ job }) => job !== event.job).slice(1 - ENDED_JOBS_MAX);
      return { open: left, ended: [...others, { job: event.job, attempt: held.attempt }] };
    }
  }
}

const kept = (open: readonly OpenJob[], atMs: number): readonly OpenJob[] =>
  open.filter(({ untilMs }) => untilMs + LOST_KEPT_MS > atMs);
