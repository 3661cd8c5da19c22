import { createHash } from 'node:crypto';
import { readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Job, JobEvent } from '@tidemark/control';
import { exclusiveOf } from '../../../services/control/src/clone/clone-handler.ts';
import { ALICE, idleHandler, openDesk, SetClock, type DeskRun } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ORDER = {
  kind: 'restore',
  instance: 'orders',
  request: { a: 1, b: 2 },
  actor: ALICE,
} as const;
const BACKUP = { ...ORDER, kind: 'backup', request: {} } as const;
const never = new AbortController().signal;

let dir: TempDir;
let clock: SetClock;
let run: DeskRun;

const handlers = [
  idleHandler('restore'),
  idleHandler('backup', { exclusive: ({ instance }) => `backup:${instance}` }),
  idleHandler('clone', { exclusive: ({ request }) => exclusiveOf(request as never) }),
  idleHandler('rebuild', {
    exclusive: ({ instance, request }) => `rebuild:${instance}\n${exclusiveOf(request as never)}`,
  }),
];
const open = (bytesMax?: number): DeskRun =>
  openDesk(dir.path, clock, { handlers, ...(bytesMax === undefined ? {} : { bytesMax }) });

beforeEach(async () => {
  dir = await TempDir.create();
  clock = new SetClock();
  run = open();
});

afterEach(async () => {
  run[Symbol.dispose]();
  await dir[Symbol.asyncDispose]();
});

function work(id: string, ...types: ('claim' | 'succeed')[]): void {
  const nowMs = clock.ms;
  for (const type of types) {
    if (type === 'claim') {
      run.desk.command(id, { type, worker: 'w1', nowMs, untilMs: nowMs + 100 });
    } else {
      const outcome = { state: 'succeeded', result: null } as const;
      run.desk.command(id, { type, worker: 'w1', nowMs, outcome });
    }
  }
}

describe('a desk', () => {
  it('keeps its file to its user', async () => {
    for (const name of await readdir(dir.path)) {
      expect((await stat(join(dir.path, name))).mode & 0o077).toBe(0);
    }
  });

  it('gives the same job for the same key and order for a day, in whatever order its fields are', async () => {
    const key = { actor: 'alice', key: 'k1' };
    const { id } = await run.desk.submit(ORDER, key);
    const again = await run.desk.submit({ ...ORDER, request: { b: 2, a: 1 } }, key);
    expect(again.id).toBe(id);
    await expect(run.desk.submit({ ...ORDER, request: { a: 2 } }, key)).rejects.toMatchObject({
      ...{ code: 'TM_IDEMPOTENCY', context: { job: id } },
    });
    expect((await run.desk.submit(ORDER, { actor: 'bob', key: 'k1' })).id).not.toBe(id);
    clock.ms += 24 * 3_600_000;
    expect((await run.desk.submit(ORDER, key)).id).not.toBe(id);
  });

  it('keeps of an order with a key no digest that a password could be tried out with', async () => {
    const request = { password: 'hunter2' };
    await run.desk.submit({ ...ORDER, request }, { actor: 'alice', key: 'k2' });
    const row = run.state.read(() =>
      run.state.query<{ digest: string }>('SELECT digest FROM job_keys').get(),
    );
    const text = JSON.stringify([ORDER.kind, ORDER.instance, request]);
    expect(row?.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(row?.digest).not.toBe(createHash('sha256').update(text).digest('hex'));
  });

  it('refuses a second exclusive job until the first has ended, and a resume beside it', async () => {
    const first = await run.desk.submit(BACKUP);
    await expect(run.desk.submit(BACKUP)).rejects.toMatchObject({
      ...{ code: 'TM_JOB_BUSY', exitCode: 11, context: { job: first.id } },
    });
    await run.desk.submit({ ...BACKUP, instance: 'other' });
    await run.desk.cancel(first.id, ALICE);
    const second = await run.desk.submit(BACKUP);
    await expect(run.desk.resume(first.id, ALICE)).rejects.toMatchObject({ code: 'TM_JOB_BUSY' });
    work(second.id, 'claim', 'succeed');
    expect((await run.desk.resume(first.id, ALICE)).state).toBe('queued');
  });

  it('refuses a clone with the name or the server of an open one, and of the rest none', async () => {
    const order = (kind: 'clone' | 'rebuild', name: string, url: string | null) => ({
      ...{ ...ORDER, kind, instance: kind },
      request: { name, target: url === null ? { kind: 'local' } : { kind: 'address', url } },
    });
    const first = await run.desk.submit(order('clone', 'copy', 'redis://10.0.0.1'));
    const busy = { code: 'TM_JOB_BUSY', context: { job: first.id } };
    for (const wanted of [
      order('clone', 'copy', 'redis://10.0.0.2'),
      order('clone', 'copy', null),
      order('rebuild', 'copy', null),
      order('clone', 'other', 'redis://10.0.0.1'),
    ]) {
      await expect(run.desk.submit(wanted)).rejects.toMatchObject(busy);
    }
    await run.desk.submit(order('clone', 'cop', 'redis://10.0.0.10'));
    await run.desk.submit(order('rebuild', 'copy-2', null));
    await run.desk.cancel(first.id, ALICE);
    expect((await run.desk.submit(order('clone', 'copy', null))).state).toBe('queued');
  });

  it('gives one actor a share of its places, and the others theirs', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 200; i++) ids.push((await run.desk.submit(ORDER)).id);
    const limit = { code: 'TM_JOB_LIMIT', context: { open: 200, max: 200 } };
    await expect(run.desk.submit(ORDER)).rejects.toMatchObject(limit);
    await run.desk.submit({ ...ORDER, actor: { name: 'alice', via: 'token' } });
    const [first = ''] = ids;
    await run.desk.cancel(first, ALICE);
    await run.desk.submit(ORDER);
    expect(() => run.desk.command(first, { type: 'resume', nowMs: clock.ms })).toThrow(
      expect.objectContaining(limit),
    );
  });

  it('takes no more than it can hold, of others than policies less', async () => {
    const policy = { ...ORDER, actor: { name: 'policy', via: 'policy' } } as const;
    run.state.write(() => {
      for (let i = 0; i < 800; i++) {
        run.state.run(
          `INSERT INTO jobs (id, kind, instance, state, not_before_ms, seq, fold)
           VALUES (?, 'restore', 'orders', 'queued', 0, 1, '{}')`,
          `job-0${i}`,
        );
      }
    });
    await expect(run.desk.submit(ORDER)).rejects.toMatchObject({
      ...{ code: 'TM_JOB_LIMIT', context: { open: 800, max: 800 } },
    });
    for (let i = 0; i < 200; i++) await run.desk.submit(policy);
    await expect(run.desk.submit(policy)).rejects.toMatchObject({
      ...{ code: 'TM_JOB_LIMIT', context: { open: 1000, max: 1000 } },
    });
  });

  it('reads nothing of a job again for who waits for its news', async () => {
    const { id } = await run.desk.submit({ ...ORDER, request: { keys: 'x'.repeat(100_000) } });
    const over = new AbortController();
    const heads = vi.spyOn(run.rows, 'head');
    const following = (async () => {
      for await (const event of run.desk.follow(id, 0, over.signal)) expect(event.seq).toBe(1);
    })();
    await expect.poll(() => heads.mock.calls.length, { timeout: 15_000 }).toBeGreaterThan(2);
    const [folds, events] = [vi.spyOn(run.rows, 'fold'), vi.spyOn(run.rows, 'events')];
    const before = heads.mock.calls.length;
    await expect.poll(() => heads.mock.calls.length, { timeout: 15_000 }).toBeGreaterThan(before);
    expect([folds.mock.calls, events.mock.calls]).toEqual([[], []]);
    over.abort();
    await following;
  });

  it('keeps the request of a job once, and tells it with every event', async () => {
    const request = { keys: `canary:${'x'.repeat(1000)}` };
    const { id } = await run.desk.submit({ ...ORDER, request });
    work(id, 'claim', 'succeed');
    const bodies = run.state.read(() =>
      run.state.query<{ body: string }>('SELECT body FROM job_events').all(),
    );
    expect(bodies).toHaveLength(3);
    expect(bodies.some(({ body }) => body.includes('canary'))).toBe(false);
    const told: unknown[] = [];
    for await (const { job } of run.desk.follow(id, 0, never)) told.push(job.request);
    expect(told).toEqual([request, request, request]);
  });

  it('gives one actor 16 MiB of open jobs, and the others theirs', async () => {
    const large = { ...ORDER, request: { keys: 'x'.repeat(1_000_000) } };
    for (let i = 0; i < 16; i++) await run.desk.submit(large);
    await expect(run.desk.submit(large)).rejects.toMatchObject({
      ...{ code: 'TM_JOB_LIMIT', context: { max: 16 << 20 } },
    });
    await run.desk.submit({ ...large, actor: { name: 'bob', via: 'token' } });
    const [newest] = run.desk.list({ pageSize: 2 }).jobs.slice(1);
    await run.desk.cancel(newest?.id ?? '', ALICE);
    await run.desk.submit(large);
  });

  it('lets the oldest ended jobs go where the database is filled', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      clock.ms += 1;
      ids.push((await run.desk.submit(ORDER)).id);
    }
    const [open = '', ...over] = ids;
    for (const id of over) work(id, 'claim', 'succeed');
    expect(run.state.write(() => run.rows.makeRoom())).toBe(0);
    expect(run.state.write(() => run.rows.makeRoom(4096))).toBe(2);
    expect(run.desk.list({ pageSize: 9 }).jobs.map(({ id }) => id)).toEqual([open]);
  });

  it('lists pages, newest first, and by what is asked', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      clock.ms += 1;
      const instance = i % 2 === 0 ? 'orders' : 'carts';
      ids.unshift((await run.desk.submit({ ...ORDER, instance })).id);
    }
    const first = run.desk.list({ pageSize: 3 });
    const pageToken = first.nextPageToken ?? '';
    const second = run.desk.list({ pageSize: 3, pageToken });
    expect([...first.jobs, ...second.jobs].map(({ id }) => id)).toEqual(ids);
    expect(second.nextPageToken).toBeNull();
    expect(run.desk.list({ pageSize: 9, instance: 'carts' }).jobs).toHaveLength(2);
    expect(run.desk.list({ pageSize: 9, state: 'failed' }).jobs).toEqual([]);
    expect(() => run.desk.list({ pageSize: 3, pageToken: `x' OR 1` })).toThrow(
      expect.objectContaining({ code: 'TM_USAGE' }),
    );
  });

  it('tells every change once and in order to who follows, until the end', async () => {
    const { id } = await run.desk.submit(ORDER);
    const seen: JobEvent[] = [];
    const following = (async () => {
      for await (const event of run.desk.follow(id, 0, never)) seen.push(event);
    })();
    // Another process of the host.
    using other = open();
    const outcome = { state: 'succeeded', result: null } as const;
    const nowMs = clock.ms;
    other.desk.command(id, { type: 'claim', worker: 'w2', nowMs, untilMs: nowMs + 1 });
    other.desk.command(id, { type: 'succeed', worker: 'w2', nowMs, outcome });
    await following;
    expect(seen.map(({ seq, job }) => [seq, job.state])).toEqual([
      [1, 'queued'],
      [2, 'running'],
      [3, 'succeeded'],
    ]);
    const rest: JobEvent[] = [];
    for await (const event of run.desk.follow(id, 2, never)) rest.push(event);
    expect(rest.map(({ seq }) => seq)).toEqual([3]);
  });

  it('keeps the last lines and events of a job, and lets ended jobs go', async () => {
    const { id } = await run.desk.submit(ORDER);
    run.state.write(() => {
      for (let i = 0; i < 1200; i++) {
        run.rows.addLine(id, { atMs: i, level: 'info', message: `line ${i}` });
      }
    });
    const [first] = run.desk.lines(id, 0, 2000);
    expect(run.desk.lines(id, 0, 2000)).toHaveLength(1000);
    expect(first).toMatchObject({ seq: 201, message: 'line 200' });
    work(id, 'claim', 'succeed');
    const waits = await run.desk.submit(ORDER);
    const later = clock.ms + 1000;
    run.state.write(() => run.rows.prune({ count: 10, ageMs: 10_000 }, later));
    expect(run.desk.list({ pageSize: 9 }).jobs).toHaveLength(2);
    run.state.write(() => run.rows.prune({ count: 10, ageMs: 10 }, later));
    expect(run.desk.list({ pageSize: 9 }).jobs.map((job) => job.id)).toEqual([waits.id]);
    expect(() => run.desk.get(id)).toThrow(expect.objectContaining({ code: 'TM_NOT_FOUND' }));
  });

  it('writes down who asked for what', async () => {
    const { id } = await run.desk.submit(BACKUP);
    await run.desk.cancel(id, { name: 'bob', via: 'token' });
    const { entries } = run.audit.list({ pageSize: 5 });
    expect(entries.map(({ actor, action, job }) => [actor.name, action, job])).toEqual([
      ['bob', 'job.cancel', id],
      ['alice', 'job.submit.backup', id],
    ]);
    const one = run.audit.list({ pageSize: 1 });
    const rest = run.audit.list({ pageSize: 1, pageToken: one.nextPageToken ?? '' });
    expect(rest.entries[0]?.action).toBe('job.submit.backup');
  });
});

describe('jobs of other hosts', () => {
  it('are taken in, and what becomes of ours there is told here', async () => {
    const { id } = await run.desk.submit(BACKUP);
    await using elsewhere = await TempDir.create();
    using there = openDesk(elsewhere.path, clock, { handlers });
    there.desk.admit(run.desk.get(id));
    there.desk.admit(run.desk.get(id)); // said twice
    const nowMs = clock.ms;
    there.desk.command(id, { type: 'claim', worker: 'h2.1', nowMs, untilMs: nowMs + 100 });
    there.desk.command(id, { type: 'grant', worker: 'h2.1', attempt: 1 });
    run.desk.applyRemote({ seq: 9, atMs: nowMs, job: there.desk.get(id) }, 'h1');
    expect(run.desk.get(id)).toMatchObject({ state: 'running', worker: 'h2.1' });
    const outcome = { state: 'succeeded', result: { backup: 'bk' } } as const;
    there.desk.command(id, { type: 'succeed', worker: 'h2.1', nowMs, outcome });
    const over = { seq: 10, atMs: nowMs, job: there.desk.get(id) };
    run.desk.applyRemote(over, 'h1');
    run.desk.applyRemote({ ...over, job: { ...over.job, state: 'running' } }, 'h1'); // late
    expect(run.desk.get(id)).toMatchObject({ state: 'succeeded', result: { backup: 'bk' } });
    await run.desk.submit(BACKUP); // the right that it held is free
  });
});

describe('what another host tells of a job', () => {
  it('changes how far it is, and not what was asked for or by whom', async () => {
    const { id } = await run.desk.submit(ORDER);
    const told: Job = {
      ...run.desk.get(id),
      kind: 'clear-data',
      instance: 'other',
      createdMs: 1,
      request: { confirm: 'other' },
      actor: { name: 'mallory', via: 'token' },
      state: 'failed',
      attempt: 1,
      worker: null,
      endedMs: clock.ms,
      resumable: true,
    };
    run.desk.applyRemote({ seq: 1, atMs: clock.ms, job: told }, 'h1');
    expect(run.desk.get(id)).toMatchObject({
      ...{ state: 'failed', attempt: 1, resumable: true, endedMs: clock.ms },
      ...{ ...ORDER, createdMs: clock.ms },
    });
  });
});

describe('a database of jobs', () => {
  it('that is damaged is moved aside by who opens it, and others follow', async () => {
    await run.desk.submit(ORDER);
    run.state.query('PRAGMA wal_checkpoint(TRUNCATE)').all();
    await truncate(run.path, 0);
    await writeFile(run.path, Buffer.alloc(40_960, 0x5a), { flag: 'r+' });
    using other = open();
    expect(other.state.replacement).toMatchObject({ rebuilt: false });
    expect(other.desk.list({ pageSize: 5 }).jobs).toEqual([]);
    const { id } = await other.desk.submit(ORDER);
    // A process that had the old file open.
    expect(run.desk.get(id).id).toBe(id);
    const left = await readdir(dir.path);
    expect(left.filter((name) => /^control\.db\.damaged-\d+$/.test(name))).toHaveLength(1);
  });

  it('of another program is left alone', async () => {
    await using place = await TempDir.create();
    run.state.write(() => run.state.run('PRAGMA application_id = 7'));
    run[Symbol.dispose]();
    expect(() => open()).toThrow(expect.objectContaining({ code: 'TM_STATE_DB' }));
    run = openDesk(place.path, clock);
  });

  it('without room refuses new jobs and shows the old ones', async () => {
    const { id } = await run.desk.submit(ORDER);
    run[Symbol.dispose]();
    run = open(200 * 1024);
    const request = { text: 'x'.repeat(20_000) };
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await run.desk.submit({ ...ORDER, request });
    };
    await expect(fill()).rejects.toMatchObject({ code: 'TM_STATE_FULL', retryable: true });
    expect(run.desk.get(id).state).toBe('queued');
    expect(run.desk.list({ pageSize: 500 }).jobs.length).toBeGreaterThan(1);
    run[Symbol.dispose]();
    run = open();
    await fill();
  });
});
