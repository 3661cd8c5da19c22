import type { Logger } from '@tidemark/archiver';
import type { OpenJob } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { restoreState } from '@tidemark/restorer';
import type { Workspace } from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import { restoreIdOf } from './restore-id.ts';
import type { Job, JobKind, Json } from './job.ts';
import { newFold, type JobFold } from './job-machine.ts';
import type { JobRows } from './job-rows.ts';

/** Restores of one job that are looked for. */
const ROUNDS_MAX = 16;

/** What is put back works with. */
export interface RebuildParts {
  readonly workspace: Workspace;
  readonly rows: JobRows;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Puts jobs back after the database was made anew: those that the logs of the instances hold a claim of,
 * without an end. What they were asked for is lost; a restore that is on record can be resumed.
 * @returns How many were put back.
 * @throws StoreError when the logs cannot be read: it is to be tried again.
 */
export async function rebuildJobs(parts: RebuildParts, signal: AbortSignal): Promise<number> {
  const { workspace, rows, audit, clock, logger } = parts;
  await workspace.sync(signal);
  let count = 0;
  for (const { iid, jobs } of workspace.catalog.instances()) {
    if (iid === null) continue;
    for (const open of jobs.open) {
      const fold = await lostJob(iid, open, parts);
      const nowMs = clock.nowMs();
      rows.db.write(() => {
        if (rows.fold(open.job) !== null) return;
        rows.save(fold, null, nowMs);
        rows.noteLogged(open.job, open.attempt);
        rows.addLine(open.job, {
          atMs: nowMs,
          level: 'error',
          message: 'the database of jobs was damaged: this job was read back from the store',
        });
        count += 1;
      });
    }
  }
  rows.db.write(() => {
    rows.db.noteRebuilt();
    audit.append({
      actor: { name: 'tidemark', via: 'cli' },
      action: 'state.rebuilt',
      ...{ instance: null, job: null },
      detail: `the database of jobs was damaged and made anew; ${count.toString()} jobs were read back`,
    });
  });
  logger.warn('state-rebuilt', { jobs: count });
  return count;
}

async function lostJob(instance: string, open: OpenJob, parts: RebuildParts): Promise<JobFold> {
  const { job: id, kind, by, attempt, atMs } = open;
  const goOn = kind === 'restore' ? await recordedRestore(id, parts) : null;
  const request: Json = goOn === null ? null : { goOn };
  const fold = newFold({
    id,
    kind: kind as JobKind,
    instance,
    actor: { name: by, via: 'cli' },
    request,
    createdMs: atMs,
  });
  const job: Job = {
    ...fold.job,
    state: 'failed',
    attempt,
    resumable: goOn !== null,
    problem: {
      code: 'TM_JOB_LOST',
      message: 'the database of jobs was damaged while this job was open',
      hint: goOn === null ? 'ask for it anew' : 'resume it: its restore is on record',
    },
    startedMs: atMs,
    endedMs: parts.clock.nowMs(),
  };
  return { ...fold, job };
}

async function recordedRestore(job: string, { workspace }: RebuildParts): Promise<string | null> {
  const { stateDir } = workspace.config;
  for (let round = ROUNDS_MAX; round > 0; round--) {
    const id = restoreIdOf(job, round);
    if ((await restoreState(id, { stateDir })) !== null) return id;
  }
  return null;
}
