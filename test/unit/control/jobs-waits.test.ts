import { createInstance, EMPTY_INSTANCE_STATE, openInstanceLog } from '@tidemark/catalog';
import type { Job, JobHandler } from '@tidemark/control';
import { CatalogError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { InstanceClaims } from '../../../services/control/src/jobs/instance-claims.ts';
import { JobRun } from '../../../services/control/src/jobs/job-run.ts';
import { JobCancelled, WorkerStops } from '../../../services/control/src/jobs/why-ended.ts';
import { ALICE, idleHandler, openDesk, QUIET, type DeskRun } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ORDER = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;
const WAIT = { timeout: 15_000 };

let dir: TempDir;
let run: DeskRun;
const GRANTED = {
  claim: () => Promise.resolve({ kind: 'granted', attempt: 1 }),
  renew: () => Promise.resolve(),
  end: () => Promise.resolve(),
};

beforeEach(async () => {
  dir = await TempDir.create();
});

afterEach(async () => {
  vi.restoreAllMocks();
  run[Symbol.dispose]();
  await dir[Symbol.asyncDispose]();
});

function open(more: Partial<JobHandler> = {}): void {
  run = openDesk(dir.path, systemClock, { handlers: [idleHandler('restore', more)] });
}

/** Takes a job up. */
function take(id: string, claims: InstanceClaims, passedMs = 0): JobRun {
  const { desk, rows } = run;
  const nowMs = systemClock.nowMs() + passedMs;
  const fold = desk.command(id, {
    ...{ type: 'claim', worker: 'h1.1', nowMs, untilMs: nowMs + 15_000 },
  });
  const parts = { desk, rows, claims, clock: systemClock, logger: QUIET };
  return new JobRun(fold, { ...parts, worker: 'h1.1', claimMs: 15_000 });
}

const untilStopped = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

it('a log that is full of open jobs, or that others write all the time, is waited for', async () => {
  open();
  const store = new MemoryStore();
  const options = { store, iid: 'inst', logKey: LOG_KEY, clock: systemClock, random: systemRandom };
  await createInstance({ ...options, name: 'inst', createdMs: 0 });
  const log = await openInstanceLog(options);
  const atMs = systemClock.nowMs();
  for (let i = 0; i < 64; i++) {
    const claim = { kind: 'restore', by: 'bob', attempt: 1, untilMs: atMs + 600_000, atMs };
    await log.append(() => ({ type: 'JobClaimed', job: `job-${i}`, worker: 'h2.1', ...claim }));
  }
  const claims = new InstanceClaims(
    {
      ...{ store, keys: { logKey: () => Promise.resolve(LOG_KEY) } },
      catalog: { instances: () => [{ ...EMPTY_INSTANCE_STATE }] },
    } as unknown as Pick<Workspace, 'store' | 'keys' | 'catalog'>,
    ...([systemClock, systemRandom] as const),
  );
  const { id } = await run.desk.submit(ORDER);
  await take(id, claims).perform();
  expect(run.desk.get(id)).toMatchObject({ state: 'queued', attempt: 0, problem: null });
  const busy = {
    claim: () => Promise.reject(new CatalogError('TM_LOG_CONFLICT', 'others were faster')),
  } as unknown as InstanceClaims;
  await take(id, busy, 60_000).perform();
  expect(run.desk.get(id)).toMatchObject({ state: 'queued', attempt: 0, problem: null });
  expect(run.rows.db.read(() => run.rows.fold(id)?.tries)).toBe(0);
  const said = run.desk.lines(id, 0, 10).map(({ message }) => message);
  expect(said).toEqual([
    'waits: more than 64 open jobs',
    'waits: the log is in use: others were faster (TM_LOG_CONFLICT)',
  ]);
  const ended = { job: 'job-0', worker: 'h2.1', outcome: 'succeeded', atMs } as const;
  await log.append(() => ({ type: 'JobEnded', ...ended }));
  await take(id, claims, 120_000).perform();
  expect(run.desk.get(id)).toMatchObject({ state: 'succeeded', attempt: 1 });
});

it('the end of an attempt that is told late leaves the claim of the next one noted', async () => {
  open({ run: ({ signal }) => untilStopped(signal) });
  let answer: (() => void) | null = null;
  const end = (): Promise<void> => new Promise((resolve) => (answer = resolve));
  const { id } = await run.desk.submit(ORDER);
  const first = take(id, { ...GRANTED, end } as unknown as InstanceClaims);
  const done = first.perform();
  await expect.poll(() => run.desk.get(id).attempt, WAIT).toBe(1);
  first.abort(new WorkerStops());
  await expect.poll(() => answer, WAIT).not.toBeNull();
  run.rows.db.write(() => run.rows.noteLogged(id, 2));
  (answer as unknown as () => void)();
  await done;
  expect(run.rows.db.read(() => run.rows.isBegun(id))).toBe(true);
});

it('a worker whose disk is full can be stopped while it takes back what was cancelled', async () => {
  const cleaned: Job[] = [];
  open({
    run: ({ signal }) => untilStopped(signal),
    cleanUp: ({ job }) => Promise.resolve(void cleaned.push(job)),
  });
  const { desk } = run;
  const { id } = await desk.submit(ORDER);
  const working = take(id, GRANTED as unknown as InstanceClaims);
  const done = working.perform();
  await expect.poll(() => desk.get(id).attempt, WAIT).toBe(1);
  const command = desk.command.bind(desk);
  let refused = 0;
  vi.spyOn(desk, 'command').mockImplementation((job, wanted) => {
    if (wanted.type !== 'settle' && wanted.type !== 'release') return command(job, wanted);
    refused += 1;
    throw new CatalogError('TM_STATE_FULL', 'the disk is full');
  });
  await desk.cancel(id, ALICE);
  working.abort(new JobCancelled(id));
  await expect.poll(() => refused, WAIT).toBeGreaterThan(0);
  working.abort(new WorkerStops());
  await done;
  expect(cleaned).toHaveLength(1);
  expect(desk.get(id).state).toBe('cancelling');
});
