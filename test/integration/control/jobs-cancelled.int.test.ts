import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '@tidemark/control';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { JobBench, OPS, type RunningControl } from '../../support/control-jobs/job-bench.ts';
import { runTidemark, type CliRun } from '../../support/tidemark-cli.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';

const NEW = { point: { kind: 'latest' }, target: { kind: 'new' } } as const;

let bench: JobBench;
let source: Oracle;
let worker: RunningControl;
let target: RedisServer;

beforeAll(async () => {
  target = await startRedis({ aof: false });
  bench = await JobBench.open({ allowTargets: [`127.0.0.1:${target.port}`] });
  const client = await bench.clones.archive.server.connect();
  const pipeline = client.pipeline();
  for (let i = 0; i < 300; i++) pipeline.set(`key:${i}`, `value ${i}`);
  await pipeline.exec();
  await bench.clones.settled();
  source = await readOracle(client);
  worker = await bench.control();
});

afterEach(() => bench.endServers());

afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
});

/** Cancels a job as soon as it comes to a phase; how it ended. */
async function cancelAt(phase: string, request: object): Promise<Job> {
  const { control, onEvent } = worker;
  const mine: { id: string | null } = { id: null };
  let asked: Promise<unknown> = Promise.resolve();
  const off = onEvent(({ job }) => {
    const isThere = job.state === 'running' && job.progress.phase === phase;
    if (!isThere || (mine.id !== null && job.id !== mine.id)) return;
    off();
    asked = control.jobs.cancel(job.id, OPS);
  });
  const { id } = await bench.submit(control, 'restore', request as never);
  mine.id = id;
  const job = await bench.ended(control, id);
  off();
  await asked;
  return job;
}

async function expectNothingLeft(): Promise<void> {
  expect(bench.serversLeft()).toEqual([]);
  expect(await bench.foldersLeft()).toEqual([]);
  expect(await bench.recordsLeft()).toEqual([]);
}

/** What the command line says of a job that failed because its target holds data. */
async function expectTold(id: string): Promise<void> {
  const cli = (...args: string[]): Promise<CliRun> =>
    runTidemark(['-c', bench.clones.configPath, 'job', ...args, '-o', 'json']);
  const listed = JSON.parse((await cli('list', '--state', 'failed')).out) as object;
  expect(listed).toMatchObject({ jobs: [{ id, kind: 'restore', state: 'failed' }] });
  const watched = await cli('watch', id);
  expect(watched.code).toBe(15);
  expect(JSON.parse(watched.out)).toMatchObject({ problem: { code: 'TM_TARGET_NOT_EMPTY' } });
  const log = JSON.parse((await cli('logs', id)).out) as { lines: { message: string }[] };
  expect(log.lines.some(({ message }) => message.includes('TM_TARGET_NOT_EMPTY'))).toBe(true);
  expect((await cli('cancel', id)).err).toContain('TM_JOB_OVER');
  expect((await cli('show', 'job-none')).code).toBe(10);
}

describe('a restore that is cancelled', () => {
  for (const phase of ['verify', 'attach', 'replay']) {
    it(`as ${phase} begins leaves no server, no folder and no record`, async () => {
      const job = await cancelAt(phase, NEW);
      expect(job).toMatchObject({ state: 'cancelled', resumable: true, problem: null });
      await expectNothingLeft();
    });
  }

  it('gives a server that ran before back empty, with its users and settings', async () => {
    const client = await target.connect();
    const before = [await client.call('ACL', 'LIST'), await client.call('CONFIG', 'GET', '*')];
    const url = `redis://127.0.0.1:${target.port}`;
    const into = { ...NEW, target: { kind: 'address', url } };
    const job = await cancelAt('replay', into);
    expect(job.state).toBe('cancelled');
    expect(await client.dbsize()).toBe(0);
    expect(await client.call('ROLE')).toContain('master');
    expect([await client.call('ACL', 'LIST'), await client.call('CONFIG', 'GET', '*')]).toEqual(
      before,
    );
    expect(await bench.recordsLeft()).toEqual([]);
  });

  it('is done from the beginning when it is resumed', async () => {
    const { control } = worker;
    const { id } = await cancelAt('attach', NEW);
    expect((await control.jobs.resume(id, OPS)).state).toBe('queued');
    const job = await bench.ended(control, id);
    expect(job).toMatchObject({ state: 'succeeded', attempt: 2, resumable: false });
    const client = await bench.connectTo(job);
    expect(diffOracle(source, await readOracle(client))).toEqual([]);
    client.disconnect();
    const asked = control.audit.list({ pageSize: 10 }).entries.filter((one) => one.job === id);
    expect(asked.map(({ action }) => action)).toEqual([
      'job.resume',
      'job.cancel',
      'job.submit.restore',
    ]);
  });
});

describe('a restore that fails', () => {
  it('says why, leaves nothing, and goes through once the reason is gone', async () => {
    const { control } = worker;
    const client = await target.connect();
    await client.set('mine', '1');
    const url = `redis://127.0.0.1:${target.port}`;
    const request = { ...NEW, target: { kind: 'address', url } };
    const { id } = await bench.submit(control, 'restore', request);
    const failed = await bench.ended(control, id);
    expect(failed).toMatchObject({ state: 'failed', resumable: true });
    expect(failed.problem?.code).toBe('TM_TARGET_NOT_EMPTY');
    expect(await client.get('mine')).toBe('1');
    await expectTold(id);
    await client.flushall();
    await control.jobs.resume(id, OPS);
    expect((await bench.ended(control, id)).state).toBe('succeeded');
    expect(diffOracle(source, await readOracle(client))).toEqual([]);
    await client.flushall();
  });

  it('into a server that nobody allowed is refused before it is a job', async () => {
    const into = { kind: 'address', url: 'redis://127.0.0.1:1' } as const;
    await expect(
      bench.submit(worker.control, 'restore', { ...NEW, target: into }),
    ).rejects.toMatchObject({ code: 'TM_TARGET_DENIED' });
  });
});

describe('a backup', () => {
  it('is refused while another one of the instance is open, and is made once', async () => {
    const { control } = worker;
    const first = await bench.submit(control, 'backup', {});
    await expect(bench.submit(control, 'backup', {})).rejects.toMatchObject({
      ...{ code: 'TM_JOB_BUSY', exitCode: 11 },
      context: { job: first.id },
    });
    const job = await bench.ended(control, first.id);
    expect(job.problem).toBeNull();
    const { backup } = job.result as { readonly backup: string };
    expect(
      control.workspace.catalog.snapshots('orders').filter((one) => one.backup === backup),
    ).toHaveLength(1);
  });
});

describe('a damaged database of jobs', () => {
  it('is moved aside and made anew from the store, and this is said', async () => {
    await using held = await JobBench.open();
    {
      await using before = await held.control(false);
      await held.submit(before.control, 'restore', NEW);
      await held.killAt('replay');
    }
    const path = join(held.stateDir, 'control.db');
    await truncate(path, 0);
    await writeFile(path, Buffer.alloc(64 * 1024, 0x5a), { flag: 'r+' });
    await using after = await held.control();
    const { control } = after;
    expect(control.state.replacement?.movedTo).toContain('control.db.damaged-');
    await expect
      .poll(() => control.jobs.list({ pageSize: 10 }).jobs, { timeout: 60_000 })
      .toHaveLength(1);
    const [lost] = control.jobs.list({ pageSize: 10 }).jobs;
    expect(lost).toMatchObject({ state: 'failed', kind: 'restore', resumable: true });
    expect(lost?.problem?.code).toBe('TM_JOB_LOST');
    expect(control.audit.list({ pageSize: 10 }).entries[0]).toMatchObject({
      action: 'state.rebuilt',
    });
    // The restore itself is on record: it goes on where it was.
    const id = lost?.id ?? '';
    await control.jobs.resume(id, OPS);
    const job = await held.ended(control, id);
    expect(job.problem).toBeNull();
    expect(job.state).toBe('succeeded');
    expect(held.serversLeft()).toHaveLength(1);
  });
});
