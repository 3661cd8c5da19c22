import type { Logger } from '@tidemark/archiver';
import type { Clock } from '@tidemark/core';
import type { InstanceClaims } from './instance-claims.ts';
import type { LocalJobDesk } from './job-desk.ts';
import type { JobFold } from './job-machine.ts';
import type { JobRows } from './job-rows.ts';

/** A foreign job that its host has not asked for so long is not begun; within a day its end is remembered. */
const ORDER_MS_MAX = 3_600_000;

/** What a run needs of its worker. */
export interface RunParts {
  readonly desk: LocalJobDesk;
  readonly rows: JobRows;
  readonly claims: InstanceClaims;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly worker: string;
  /** How long a claim in the database holds, in milliseconds. */
  readonly claimMs: number;
}

/** Its host asks again while it waits: an order that lay here for long is not its last word. */
export function isStale(
  { foreign, orderedMs, job }: JobFold,
  { rows, clock }: Pick<RunParts, 'rows' | 'clock'>,
): boolean {
  if (!foreign || job.state === 'cancelling') return false;
  // Of a clock that was set back meanwhile nobody can say: its host asks again.
  if (Math.abs(clock.nowMs() - (orderedMs ?? job.createdMs)) <= ORDER_MS_MAX) return false;
  return !rows.db.read(() => rows.isBegun(job.id));
}
