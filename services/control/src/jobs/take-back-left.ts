import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '@tidemark/archiver';
import { TidemarkError, type Clock, type Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import { hostName } from './host-name.ts';
import type { JobLine, Json } from './job.ts';
import type { LocalJobDesk } from './job-desk.ts';
import type { JobFold } from './job-machine.ts';
import type { JobRows } from './job-rows.ts';
import { TAKE_BACK_MS } from './left-job.ts';
import { problemOf } from './why-ended.ts';
import { isGone, thisProcess, workerName } from './worker-process.ts';

const LOOK_MS = 10_000;
/** Jobs that are looked at in one look. */
const JOBS_MAX = 16;
/** Tries of a process for one job; the next process tries again. */
const TRIES_MAX = 5;
/** Work on one job is called off well before its claim ends. */
const PATIENCE_MS = TAKE_BACK_MS - 60_000;

/** What takes back works with. */
export interface LeftParts {
  readonly workspace: Pick<Workspace, 'config'>;
  readonly desk: Pick<LocalJobDesk, 'kinds' | 'handler' | 'command'>;
  readonly rows: JobRows;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Takes back, until the signal, what attempts of this host have begun of jobs that another host ended: first what was
 * left when this process starts, then what is seen to be left at two looks, so that a worker of this host that is
 * about to notice has let go.
 */
export async function takeBackLeft(parts: LeftParts, signal: AbortSignal): Promise<void> {
  const { workspace, random, logger } = parts;
  const host = await hostName(workspace.config.stateDir, random);
  const worker = workerName(host, random.bytes(4).toString('hex'), thisProcess());
  const tries = new Map<string, number>();
  let before: ReadonlySet<string> | null = null;
  while (!signal.aborted) {
    try {
      const left = leftJobs(parts, tries);
      for (const id of left.filter((each) => before?.has(each) !== false)) {
        if (await takeBack(id, worker, parts, { signal, isFirst: !tries.has(id) })) continue;
        tries.set(id, (tries.get(id) ?? 0) + 1);
      }
      before = new Set(left);
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      logger.error('jobs-left', { code: cause.code, error: cause.message });
    }
    await pause(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

function leftJobs(
  { rows, desk }: LeftParts,
  tries: ReadonlyMap<string, number>,
): readonly string[] {
  const kinds = desk.kinds.filter((kind) => desk.handler(kind).takeBack !== undefined);
  const over = [...tries].filter(([, count]) => count >= TRIES_MAX).map(([id]) => id);
  return rows.db.read(() =>
    rows.db
      .query<{ id: string }>(
        `SELECT id FROM jobs WHERE ended_ms IS NOT NULL AND json_extract(fold, '$.touched') = 1
           AND kind IN (SELECT value FROM json_each(?))
           AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ${JOBS_MAX}`,
      )
      .all(...[JSON.stringify(kinds), JSON.stringify(over)])
      .map(({ id }) => id),
  );
}

/** @returns False when it is to be tried again. */
async function takeBack(
  id: string,
  worker: string,
  parts: LeftParts,
  { signal, isFirst }: { readonly signal: AbortSignal; readonly isFirst: boolean },
): Promise<boolean> {
  const { rows, desk, clock, logger } = parts;
  const fold = signal.aborted ? null : claim(id, worker, parts);
  if (fold === null) return true;
  const log = (level: JobLine['level'], message: string): void => {
    logger[level]('job-line', { job: id, line: message });
    rows.db.write(() => rows.addLine(id, { atMs: clock.nowMs(), level, message }));
  };
  const keep = (checkpoint: Json): Promise<void> => {
    rows.db.write(() => rows.saveCheckpoint(id, checkpoint));
    return Promise.resolve();
  };
  let isDone = false;
  try {
    await desk.handler(fold.job.kind).takeBack?.({
      ...{ job: fold.job, log },
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
      checkpoint: rows.db.read(() => rows.checkpoint(id)),
      keep,
    });
    // Who resumes it begins anew.
    await keep(null);
    isDone = true;
  } catch (cause) {
    const { code, message } = problemOf(cause);
    logger.error('job-left', { job: id, code, error: message });
    if (isFirst && !signal.aborted) {
      log('error', `what was begun on this host could not be taken back: ${message} (${code})`);
    }
  }
  desk.command(id, { type: 'taken-back', worker, isDone });
  return isDone;
}

/** Null: it is open again, or another process of this host is at it. */
function claim(id: string, worker: string, { rows, desk, clock }: LeftParts): JobFold | null {
  const before = rows.db.read(() => rows.fold(id))?.claim?.worker;
  const nowMs = clock.nowMs();
  const untilMs = nowMs + TAKE_BACK_MS;
  const isLost = before !== undefined && isGone(before, thisProcess());
  try {
    return desk.command(id, { type: 'take-back', worker, nowMs, untilMs, isGone: isLost });
  } catch (cause) {
    if (['TM_JOB_STATE', 'TM_NOT_FOUND'].includes(problemOf(cause).code)) return null;
    throw cause;
  }
}
