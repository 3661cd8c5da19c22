import { LOG_HOLD_MS } from './instance-claims.ts';
import type { Job } from './job.ts';
import type { RunParts } from './run-parts.ts';
import { problemOf } from './why-ended.ts';

const RENEW_MS = 20_000;

/** Who is told how a renewal went. */
interface RenewalTold {
  /** The claim holds until then, in monotonic milliseconds. */
  held(untilMs: number): void;
  /** Another worker has the job by now. */
  lost(): void;
}

/** Renews the claim of a job in the log of its instance, until the timer is cleared. */
export function renewClaim(
  job: Job,
  { claims, worker, logger, clock }: RunParts,
  told: RenewalTold,
): NodeJS.Timeout {
  const renew = async (): Promise<void> => {
    const askedMs = clock.monotonicMs();
    try {
      await claims.renew(job, worker);
      told.held(askedMs + LOG_HOLD_MS);
    } catch (cause) {
      const { code, message } = problemOf(cause);
      if (code === 'TM_JOB_LOST') told.lost();
      else logger.warn('job-renewal', { job: job.id, code, error: message });
    }
  };
  return setInterval(() => void renew(), RENEW_MS);
}
