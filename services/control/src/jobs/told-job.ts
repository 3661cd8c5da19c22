import { hostOf } from './instance-claims.ts';
import type { Job } from './job.ts';
import { isOver, type JobFold } from './job-machine.ts';

/** How long a job of another host is thought to run without a word, in milliseconds. */
const REMOTE_SILENCE_MS = 60_000;

/** Who listens to what another host tells. */
export interface Listener {
  /** Name of this host. */
  readonly host: string;
  /** By the clock of this host: that of the other one says nothing. */
  readonly nowMs: number;
  /** Whether the one that has the job was not heard of for as long as a claim holds. */
  readonly isSilent: boolean;
}

/** A job of this host after what another one told of it; null = that is no news. */
export function foldOfTold(known: JobFold, job: Job, listener: Listener): JobFold | null {
  if (known.foreign || isOver(known.job) || !isHeard(known, job, listener)) return null;
  const { nowMs } = listener;
  const isHeld = job.worker !== null && !isOver(job);
  const claim = isHeld ? { worker: job.worker, untilMs: nowMs + REMOTE_SILENCE_MS } : null;
  // A cancel that was asked for here stands until the other host ends the job.
  const asked = known.job.state === 'cancelling' && !isOver(job);
  const state = asked ? 'cancelling' : job.state;
  // A clock there that is ahead or behind is not to keep the job for ever, nor to let it go at once.
  const { createdMs } = known.job;
  const here = (ms: number | null): number | null =>
    ms === null ? null : Math.min(nowMs, Math.max(createdMs, ms));
  const [startedMs, endedMs] = [here(job.startedMs), here(job.endedMs)];
  // What was asked for, and by whom, is for this host to say.
  const { progress, attempt, resumable, result, problem, worker } = job;
  const told = { progress, attempt, resumable, result, problem, worker, startedMs, endedMs };
  return { ...known, claim, job: { ...known.job, ...told, state } };
}

/** Whether what a host tells of a job of this one is news: hosts that merely wait for it tell of it, too. */
function isHeard(
  { job: known, claim, ordered }: JobFold,
  told: Job,
  { host, isSilent }: Listener,
): boolean {
  const isOwn = claim !== null && hostOf(claim.worker) === host;
  const isHeld = claim !== null && (isOwn || !isSilent);
  const isLater = !isHeld || told.attempt >= known.attempt;
  if (!isOver(told)) return isLater && !isOwn;
  // An end of an attempt from before the job was resumed is none of this wish.
  if (told.attempt > ordered) return isLater;
  return known.state === 'cancelling' && told.state === 'cancelled';
}
