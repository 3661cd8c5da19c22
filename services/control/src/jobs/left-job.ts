import { CatalogError } from '@tidemark/core';
import type { JobFold } from './job-machine.ts';

/** How long who takes back what is left of a job may take at most, in milliseconds. */
export const TAKE_BACK_MS = 300_000;

/** Whether somebody takes away right now what is left of an ended job. */
export function isTakenBack({ job, claim }: JobFold, nowMs: number): boolean {
  if (job.endedMs === null || claim === null) return false;
  // One that was told by a clock that was ahead holds nobody up.
  return claim.untilMs > nowMs && claim.untilMs <= nowMs + TAKE_BACK_MS;
}

/**
 * @param isGone - Whether the process that takes it away provably lives no more.
 * @throws CatalogError `TM_JOB_STATE` where nothing of a job is left, or somebody else takes it away.
 */
export function refuseTakeBack(fold: JobFold, nowMs: number, isGone: boolean): void {
  const { job, touched } = fold;
  const isFree = isGone || !isTakenBack(fold, nowMs);
  if (job.endedMs !== null && touched && isFree) return;
  throw new CatalogError('TM_JOB_STATE', `nothing of job ${job.id} is to be taken back`, {
    context: { job: job.id, state: job.state },
  });
}

/** @throws CatalogError `TM_BUSY`: a job begins again when nothing of it is being taken away. */
export function refuseWhileTakenBack(fold: JobFold, nowMs: number): void {
  if (!isTakenBack(fold, nowMs)) return;
  throw new CatalogError('TM_BUSY', `what is left of job ${fold.job.id} is being taken back`, {
    context: { job: fold.job.id },
    hint: 'again in a moment',
  });
}
