import type { Logger } from '@tidemark/archiver';
import type { OpenJob } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { restoreState } from '@tidemark/restorer';
import type { Workspace } from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import { hostOf, LOG_CLAIM_MS } from './instance-claims.ts';
import { restoreIdOf } from './restore-id.ts';
import type { Job, JobKind, Json } from './job.ts';
import { newFold, type JobFold } from './job-machine.ts';
import type { JobRows } from './job-rows.ts';
import { isGone, type WorkerProcess } from './worker-process.ts';

/** Workers of this host put back what they do themselves, with their next beat. */
const OWN_CLAIM_MS = 8_000;

/** Restores of one job that are looked for. */
const ROUNDS_MAX = 16;

/** What is put back works with. */
export interface RebuildParts {
  readonly workspace: Workspace;
  readonly rows: JobRows;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Name of this host in the logs; empty: it is not known. */
  readonly host: string;
  /** Claims as they were seen at the look before; kept from look to look. */
  readonly seen: Map<string, SeenOpen>;
  /** This process; null or absent: the system does not tell. */
  readonly here?: WorkerProcess | null;
}

/** A claim in a log, and since when it is as it is, in monotonic milliseconds. */
export interface SeenOpen {
  readonly worker: string;
  readonly untilMs: number;
  readonly sinceMs: number;
}

/** What a look came to. */
export interface Rebuilt {
  /** How many were put back. */
  readonly count: number;
  /** Claims, of this host and of others, that may be those of jobs that run: to be looked at again. */
  readonly own: number;
  readonly others: number;
}

/**
 * Puts jobs back after the database was made anew: those that the logs of the instances hold a claim of,
 * without an end, that nobody renews. What they were asked for is lost; a restore that is on record can
 * be resumed.
 * @throws StoreError when the logs cannot be read: it is to be tried again.
 */
export async function rebuildJobs(parts: RebuildParts, signal: AbortSignal): Promise<Rebuilt> {
  const { workspace, rows, audit, clock, logger } = parts;
  await workspace.sync(signal);
  let [count, own, others] = [0, 0, 0];
  for (const { iid, jobs } of workspace.catalog.instances()) {
    if (iid === null) continue;
    for (const open of jobs.open) {
      if (rows.db.read(() => rows.fold(open.job)) !== null) continue;
      if (mayRun(open, parts)) {
        if (hostOf(open.worker) === parts.host) own += 1;
        else others += 1;
        continue;
      }
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
  const known = rows.db.replacement?.rebuilt === true;
  const isOver = own === 0 && !known;
  if (count === 0 && !isOver) return { count, own, others };
  rows.db.write(() => {
    if (isOver) rows.db.noteRebuilt();
    audit.append({
      actor: { name: 'tidemark', via: 'cli' },
      action: 'state.rebuilt',
      ...{ instance: null, job: null },
      detail: `the database of jobs was damaged and made anew; ${count.toString()} jobs were read back`,
    });
  });
  logger.warn('state-rebuilt', { jobs: count });
  return { count, own, others };
}

/** Its worker may be alive: the claim was not yet seen unchanged for as long as one holds. */
function mayRun({ job, worker, untilMs }: OpenJob, parts: RebuildParts): boolean {
  const { host, seen, clock, here = null } = parts;
  if (hostOf(worker) === host && isGone(worker, here)) return false;
  const nowMs = clock.monotonicMs();
  const known = seen.get(job);
  if (known?.worker !== worker || known.untilMs !== untilMs) {
    seen.set(job, { worker, untilMs, sinceMs: nowMs });
    return true;
  }
  return nowMs - known.sinceMs < (hostOf(worker) === host ? OWN_CLAIM_MS : LOG_CLAIM_MS);
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
