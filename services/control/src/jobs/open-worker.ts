import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '@tidemark/archiver';
import { TidemarkError, type Clock, type Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import { hostName, knownHost } from './host-name.ts';
import { InstanceClaims } from './instance-claims.ts';
import type { LocalJobDesk } from './job-desk.ts';
import type { JobRows, LeftToOthers } from './job-rows.ts';
import { JobRunner, type RunnerTiming } from './job-runner.ts';
import { rebuildJobs, type SeenOpen } from './rebuild-jobs.ts';
import { isGone, thisProcess, workerName } from './worker-process.ts';

const REBUILD_EVERY_MS = 5_000;
/** How often jobs that other hosts run are looked at again. */
const OTHERS_EVERY_MS = 30_000;

/** What a worker is opened with. */
export interface WorkerParts {
  readonly workspace: Workspace;
  readonly desk: LocalJobDesk;
  readonly rows: JobRows;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly timing?: RunnerTiming | undefined;
  /** As of a runner. */
  readonly left?: () => LeftToOthers | null;
}

/** Works off jobs until the signal. */
export async function runWorker(parts: WorkerParts, signal: AbortSignal): Promise<void> {
  const { workspace, desk, rows, clock, random, logger, timing, left } = parts;
  const host = await hostName(workspace.config.stateDir, random);
  const own = random.bytes(4).toString('hex');
  const here = thisProcess();
  const runner = new JobRunner({
    ...{ desk, rows, clock, logger },
    claims: new InstanceClaims(workspace, clock, random),
    worker: workerName(host, own, here),
    isGone: (worker) => isGone(worker, here),
    concurrency: workspace.config.worker.workers,
    ...(timing === undefined ? {} : { timing }),
    ...(left === undefined ? {} : { left }),
  });
  await runner.run(signal);
}

/** Puts jobs back whenever the database was made anew, as soon as the store answers. */
export async function keepRebuilt(
  parts: Omit<WorkerParts, 'desk' | 'random' | 'timing' | 'left'>,
  signal: AbortSignal,
): Promise<void> {
  const { rows, logger, workspace } = parts;
  const seen = new Map<string, SeenOpen>();
  const here = thisProcess();
  let others = 0;
  while (!signal.aborted) {
    let pauseMs = REBUILD_EVERY_MS;
    try {
      const { replacement } = rows.db;
      if (replacement !== null && (!replacement.rebuilt || others > 0)) {
        const host = await knownHost(workspace.config.stateDir);
        const found = await rebuildJobs({ ...parts, host, seen, here }, signal);
        others = found.others;
        if (found.own === 0 && others > 0) pauseMs = OTHERS_EVERY_MS;
      }
    } catch (cause) {
      if (cause === signal.reason) return;
      if (!(cause instanceof TidemarkError)) throw cause;
      logger.error('state-rebuild', { code: cause.code, error: cause.message });
    }
    await pause(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}
