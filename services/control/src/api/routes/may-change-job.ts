import type { Job } from '../../jobs/job.ts';
import { requireScope, type Caller } from '../auth.ts';

const OF_ADMINS: ReadonlySet<Job['kind']> = new Set<Job['kind']>([
  ...(['rebuild', 'rewrap', 'expire', 'clear-data', 'purge-expired'] as const),
]);

/**
 * A job that only an administrator may begin is not gone on with, or ended, by others; and what was asked for
 * on the command line, where nobody is asked for a scope, others do not resume.
 * @throws ApiProblem `forbidden`.
 */
export function mayChange(caller: Caller, job: Job, wanted: 'cancel' | 'resume'): Job {
  const isOfCli = wanted === 'resume' && job.actor.via === 'cli';
  if (isOfCli || OF_ADMINS.has(job.kind) || needsAdmin(job)) requireScope(caller, 'admin');
  return job;
}

/** As it is kept beside a sealed request. A clone of before that was kept may be one for administrators. */
function needsAdmin({ kind, request }: Job): boolean {
  const isKept = typeof request === 'object' && request !== null && 'admin' in request;
  return isKept ? request.admin !== false : kind === 'clone';
}
