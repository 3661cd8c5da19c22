import { createInstance, EMPTY_INSTANCE_STATE, openInstanceLog } from '@tidemark/catalog';
import { StoreError, UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Job, JobHandler } from '@tidemark/control';
import { InstanceClaims } from '../../../services/control/src/jobs/instance-claims.ts';
import { JobRunner } from '../../../services/control/src/jobs/job-runner.ts';
import {
  ALICE,
  idleHandler,
  openDesk,
  QUIET,
  SetClock,
  type DeskRun,
} from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ORDER = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;
const TIMING = { claimMs: 5_000, beatMs: 100, pollMs: 10 } as const;
const ENDED_MS = 15_000;

let dir: TempDir;
let store: MemoryStore;
let storeAway = false;
const open: {
  readonly run: DeskRun;
  readonly over: AbortController;
  readonly ran: Promise<void>;
}[] = [];

beforeEach(async () => {
  dir = await TempDir.create();
  storeAway = false;
  store = new MemoryStore({
    hook: () => {
      if (!storeAway) return undefined;
      throw new StoreError('TM_STORE_IO', 'the store is away');
    },
  });
  const options = { store, iid: 'inst', logKey: LOG_KEY, clock: systemClock, random: systemRandom };
  await createInstance({ ...options, name: 'inst', createdMs: 0 });
});

afterEach(async () => {
  await stopAll();
  await dir[Symbol.asyncDispose]();
});

async function stopAll(): Promise<void> {
  for (const { run, over, ran } of open.splice(0)) {
    over.abort(new Error('the test is over'));
    await ran;
    run[Symbol.dispose]();
  }
}

/** A worker as a process of its own would be: with its own connection to the database. */
function begin(worker: string, handler: JobHandler, concurrency = 3): DeskRun {
  const run = openDesk(dir.path, systemClock, { handlers: [handler] });
  const known = { ...EMPTY_INSTANCE_STATE };
  const workspace = {
    store,
    keys: { logKey: () => Promise.resolve(LOG_KEY) },
    catalog: { instances: () => [known] },
  } as unknown as Pick<Workspace, 'store' | 'keys' | 'catalog'>;
  const over = new AbortController();
  const ran = new JobRunner({
    ...{ desk: run.desk, rows: run.rows, clock: systemClock, logger: QUIET },
    claims: new InstanceClaims(workspace, systemClock, systemRandom),
    ...{ worker, concurrency, timing: TIMING },
  }).run(over.signal);
  open.push({ run, over, ran });
  return run;
}

async function ended({ desk }: DeskRun, id: string): Promise<Job> {
  const signal = AbortSignal.timeout(ENDED_MS);
  for await (const _event of desk.follow(id, 0, signal));
  return desk.get(id);
}

const linesOf = ({ desk }: DeskRun, id: string): string =>
  desk
    .lines(id, 0, 100)
    .map(({ message }) => message)
    .join('\n');

describe('workers', () => {
  it('of several processes do each job once', async () => {
    const done: string[] = [];
    const now = new Set<string>();
    let most = 0;
    const handler = idleHandler('restore', {
      run: async ({ job }) => {
        expect(now.has(job.id)).toBe(false);
        now.add(job.id);
        most = Math.max(most, now.size);
        await systemClock.sleep(5);
        now.delete(job.id);
        done.push(job.id);
        return { state: 'succeeded', result: null };
      },
    });
    const run = begin('h1.1', handler);
    begin('h1.2', handler);
    const ids: string[] = [];
    for (let i = 0; i < 12; i++) ids.push((await run.desk.submit(ORDER)).id);
    for (const id of ids) {
      expect(await ended(run, id)).toMatchObject({ state: 'succeeded', attempt: 1 });
    }
    expect([...done].sort()).toEqual([...ids].sort());
    expect(most).toBeGreaterThan(1);
    await expect
      .poll(
        async () => {
          const log = await openInstanceLog({
            ...{ store, iid: 'inst', logKey: LOG_KEY, clock: systemClock, random: systemRandom },
          });
          return [log.state.jobs.open.length, log.state.jobs.ended.length];
        },
        { timeout: ENDED_MS },
      )
      .toEqual([0, 12]);
  });

  it('that stop let go of what they do; the next one is given what was kept', async () => {
    const first = begin(
      'h1.1',
      idleHandler('restore', {
        run: async ({ keep, signal }) => {
          await keep({ step: 1 });
          await systemClock.sleep(60_000, signal);
          return { state: 'succeeded', result: null };
        },
      }),
    );
    const { id } = await first.desk.submit(ORDER);
    await expect
      .poll(() => first.rows.db.read(() => first.rows.checkpoint(id)), { timeout: ENDED_MS })
      .toEqual({ step: 1 });
    await stopAll();
    const second = begin(
      'h1.2',
      idleHandler('restore', {
        run: ({ checkpoint }) => Promise.resolve({ state: 'succeeded', result: checkpoint }),
      }),
    );
    expect(await ended(second, id)).toMatchObject({ attempt: 2, result: { step: 1 } });
  });

  it('wait while the store is away, and say so', async () => {
    storeAway = true;
    const run = begin('h1.1', idleHandler('restore'));
    const { id } = await run.desk.submit(ORDER);
    await expect.poll(() => linesOf(run, id), { timeout: ENDED_MS }).toContain('does not answer');
    expect(run.desk.get(id).state).toBe('queued');
    storeAway = false;
    expect(await ended(run, id)).toMatchObject({ state: 'succeeded' });
  });

  it('take and do jobs while the end of another one cannot be told', async () => {
    const asking = openDesk(dir.path, systemClock, { handlers: [idleHandler('restore')] });
    const { desk, rows } = asking;
    const { id } = await desk.submit(ORDER);
    const nowMs = systemClock.nowMs();
    desk.command(id, { type: 'claim', worker: 'h1.0', nowMs, untilMs: nowMs + 1 });
    rows.db.write(() => rows.noteLogged(id, 1));
    const outcome = { state: 'succeeded', result: null } as const;
    desk.command(id, { type: 'succeed', worker: 'h1.0', nowMs, outcome });
    let told: string | null = null;
    let answer: () => void = () => undefined;
    const claims = {
      claim: () => Promise.resolve({ kind: 'granted', attempt: 1 }),
      renew: () => Promise.resolve(),
      end: (job: Job) => {
        if (job.id !== id) return Promise.resolve();
        told = job.id;
        return new Promise<void>((resolve) => (answer = resolve));
      },
    } as unknown as InstanceClaims;
    const over = new AbortController();
    const ran = new JobRunner({
      ...{ desk, rows, clock: systemClock, logger: QUIET, claims },
      ...{ worker: 'h1.1', concurrency: 1, timing: TIMING },
    }).run(over.signal);
    await expect.poll(() => told, { timeout: ENDED_MS }).toBe(id);
    const next = await desk.submit(ORDER);
    expect(await ended(asking, next.id)).toMatchObject({ state: 'succeeded' });
    expect(rows.db.read(() => rows.unlogged(5))).toHaveLength(1);
    answer();
    await expect
      .poll(() => rows.db.read(() => rows.unlogged(5)), { timeout: ENDED_MS })
      .toEqual([]);
    over.abort(new Error('the test is over'));
    await ran;
    asking[Symbol.dispose]();
  });

  it('leave a job alone that a worker of another host has', async () => {
    const log = await openInstanceLog({
      ...{ store, iid: 'inst', logKey: LOG_KEY, clock: systemClock, random: systemRandom },
    });
    let runs = 0;
    const handler = idleHandler('restore', {
      run: () => {
        runs += 1;
        return Promise.resolve({ state: 'succeeded', result: null });
      },
    });
    const asking = openDesk(dir.path, systemClock, { handlers: [handler] });
    const { id } = await asking.desk.submit(ORDER);
    const atMs = systemClock.nowMs();
    await log.append(() => ({
      type: 'JobClaimed',
      ...{ job: id, kind: 'restore', by: 'alice', worker: 'h2.1', attempt: 1 },
      ...{ untilMs: atMs + 600_000, atMs },
    }));
    const run = begin('h1.1', handler);
    await expect.poll(() => linesOf(run, id), { timeout: ENDED_MS }).toContain('another host');
    expect(run.desk.get(id).state).toBe('queued');
    expect(runs).toBe(0);
    asking[Symbol.dispose]();
  });
});

describe('an order of another host', () => {
  const of = (id: string): Job => ({
    ...{ id, kind: 'restore', instance: 'inst', state: 'queued', actor: ALICE, request: {} },
    ...{ attempt: 0, resumable: false, result: null, problem: null, worker: null },
    ...{ createdMs: 0, startedMs: null, endedMs: null },
    progress: { phase: '', percent: 0, bytesDone: 0, bytesTotal: 0, keysDone: 0, etaSeconds: null },
  });

  it('that lay for over an hour is not begun, unless its host has asked again since', async () => {
    const began: string[] = [];
    const handler = idleHandler('restore', {
      run: ({ job }) => {
        began.push(job.id);
        return Promise.resolve({ state: 'succeeded', result: null });
      },
    });
    const before = new SetClock();
    before.ms = systemClock.nowMs() - 3_700_000;
    {
      using earlier = openDesk(dir.path, before, { handlers: [handler] });
      for (const id of ['job-old', 'job-asked']) earlier.desk.admit(of(id));
      before.ms = systemClock.nowMs();
      earlier.desk.admit(of('job-asked'));
    }
    const run = begin('h2.1', handler);
    await expect.poll(() => began, { timeout: ENDED_MS }).toEqual(['job-asked']);
    await expect
      .poll(() => run.rows.db.read(() => run.rows.fold('job-old')), { timeout: ENDED_MS })
      .toBeNull();
    expect(began).toEqual(['job-asked']);
  });

  it('is not done where more jobs ended since than the log remembers, and one of this host fails', async () => {
    const log = await openInstanceLog({
      ...{ store, iid: 'inst', logKey: LOG_KEY, clock: systemClock, random: systemRandom },
    });
    const handler = idleHandler('restore', { run: () => Promise.reject(new Error('it was done')) });
    const asking = openDesk(dir.path, systemClock, { handlers: [handler] });
    const { id } = await asking.desk.submit(ORDER);
    asking.desk.admit(of('job-00old'));
    const atMs = systemClock.nowMs();
    for (let i = 0; i < 513; i++) {
      const [job, worker] = [`job-zz${i.toString().padStart(4, '0')}`, 'h3.1'];
      const claim = { kind: 'restore', by: 'alice', attempt: 1, untilMs: atMs + 1000, atMs };
      await log.append(() => ({ type: 'JobClaimed', job, worker, ...claim }));
      await log.append(() => ({ type: 'JobEnded', job, worker, outcome: 'succeeded', atMs }));
    }
    const run = begin('h2.1', handler);
    expect(await ended(run, id)).toMatchObject({
      ...{ state: 'failed', problem: { code: 'TM_JOB_LOST' } },
    });
    await expect
      .poll(() => run.rows.db.read(() => run.rows.fold('job-00old')), { timeout: ENDED_MS })
      .toBeNull();
    asking[Symbol.dispose]();
  });
});

describe('a job that cannot be done', () => {
  it('fails with its code once what it began is taken back, and can be resumed', async () => {
    const steps: string[] = [];
    const run = begin(
      'h1.1',
      idleHandler('restore', {
        run: async ({ keep, job }) => {
          await keep({ begun: true });
          steps.push('run');
          if (job.attempt > 1) return { state: 'partial', result: null };
          throw new UsageError('TM_NOT_FOUND', 'there is nothing', { hint: 'look elsewhere' });
        },
        cleanUp: ({ checkpoint, keep }) => {
          steps.push(`clean ${JSON.stringify(checkpoint)}`);
          return keep(null);
        },
      }),
    );
    const { id } = await run.desk.submit(ORDER);
    expect(await ended(run, id)).toMatchObject({
      ...{ state: 'failed', resumable: true },
      problem: { code: 'TM_NOT_FOUND', message: 'there is nothing', hint: 'look elsewhere' },
    });
    expect(steps).toEqual(['run', 'clean {"begun":true}']);
    expect(run.rows.db.read(() => run.rows.checkpoint(id))).toBeNull();
    await run.desk.resume(id, ALICE);
    expect(await ended(run, id)).toMatchObject({ state: 'partial', problem: null });
  });

  it('is cancelled while it runs by who asks in another process', async () => {
    const cleaned: string[] = [];
    const run = begin(
      'h1.1',
      idleHandler('restore', {
        run: async ({ signal, progress }) => {
          progress({ phase: 'copy', percent: 10, bytesDone: 5, bytesTotal: 50 });
          await systemClock.sleep(60_000, signal);
          return { state: 'succeeded', result: null };
        },
        cleanUp: ({ job }) => {
          cleaned.push(job.id);
          return Promise.resolve();
        },
      }),
    );
    const { id } = await run.desk.submit(ORDER);
    using other = openDesk(dir.path, systemClock);
    await expect.poll(() => other.desk.get(id).progress.phase, { timeout: ENDED_MS }).toBe('copy');
    expect(other.desk.get(id).progress).toMatchObject({ percent: 10, bytesDone: 5 });
    expect((await other.desk.cancel(id, ALICE)).state).toBe('cancelling');
    expect(await ended(run, id)).toMatchObject({ state: 'cancelled', worker: null });
    expect(cleaned).toEqual([id]);
  });

  it('tells no fault that is not ours in more than a line', async () => {
    const run = begin(
      'h1.1',
      idleHandler('restore', { run: () => Promise.reject(new Error('x'.repeat(5000))) }),
    );
    const { id } = await run.desk.submit(ORDER);
    const { problem } = await ended(run, id);
    expect(problem?.code).toBe('TM_INTERNAL');
    expect(problem?.message).toHaveLength(1024);
  });
});
