import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditNote } from '../../../services/control/src/audit/audit.ts';
import { clearDataHandler } from '../../../services/control/src/data/clear-data.ts';
import { purgeExpiredHandler } from '../../../services/control/src/data/purge-expired.ts';
import { endProcesses } from '../../../services/control/src/provision/local-folder.ts';
import { INSTANCE, waitFor } from '../../support/archiver-run.ts';
import { attempt, CloneBench, type Attempt } from '../../support/control-clone/clone-bench.ts';
import { startRedis } from '../../support/redis-server.ts';
import { steppingClock } from '../../support/stepping-clock.ts';

let bench: CloneBench;
let client: Redis;
const notes: AuditNote[] = [];
const audit = { append: (note: AuditNote) => void notes.push(note) };

beforeAll(async () => {
  bench = await CloneBench.open();
  const { server } = bench.archive;
  await bench.configure({
    more: `[[instance]]
id = "${INSTANCE}"
url = "redis://127.0.0.1:${server.port}"
aof_dir = "${server.aofDir}"
`,
  });
  client = await server.connect();
});

afterAll(async () => {
  const root = join(bench.archive.dir, 'c');
  for (const name of await readdir(root).catch(() => [])) {
    await endProcesses(join(root, name), false);
  }
  await bench[Symbol.asyncDispose]();
});

describe('expired keys', () => {
  it('are removed by the walk, in every database, and no other key is', async () => {
    await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    for (const db of [0, 5]) {
      await client.select(db);
      const pipeline = client.pipeline();
      for (let i = 0; i < 700; i++) pipeline.set(`gone:${i}`, 'x', 'PX', 1);
      for (let i = 0; i < 100; i++) pipeline.set(`kept:${i}`, 'x', 'EX', 3_600);
      await pipeline.exec();
    }
    await client.select(0);
    await waitFor(async () => (await client.pttl('gone:699')) < 0);
    const { workspace, clock } = await bench.parts();
    const handler = purgeExpiredHandler({ workspace, clock });
    const job = await bench.job(handler, { keysPerSecond: 1_000_000 });
    const { outcome, error } = await attempt(handler, job);
    expect(error).toBeNull();
    expect(outcome?.result).toMatchObject({ keys: 200 });
    // The look above has removed one of them.
    expect((outcome?.result as { purged: number }).purged).toBeGreaterThanOrEqual(1_399);
    expect(await client.dbsize()).toBe(100);
    await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1');
  });

  it('are looked for at a bounded rate', async () => {
    const { workspace, clock } = await bench.parts();
    const handler = purgeExpiredHandler({ workspace, clock });
    const job = await bench.job(handler, { keysPerSecond: 1_000 });
    const fromMs = performance.now();
    expect((await attempt(handler, job)).error).toBeNull();
    // Two databases, a page of 500 keys each.
    expect(performance.now() - fromMs).toBeGreaterThan(900);
  });

  it.each([{ keysPerSecond: 0 }, { keysPerSecond: 'x' }, { unknown: 1 }])(
    'are not looked for as %j says',
    async (request) => {
      const { workspace, clock } = await bench.parts();
      const handler = purgeExpiredHandler({ workspace, clock });
      await expect(bench.job(handler, request)).rejects.toMatchObject({ code: 'TM_USAGE' });
    },
  );
});

describe('clearing the data of a node', () => {
  it('needs the id of the instance', async () => {
    const { workspace, clock } = await bench.parts();
    const handler = clearDataHandler({ workspace, clock, audit });
    for (const confirm of ['', 'yes', 'other']) {
      await expect(bench.job(handler, { confirm })).rejects.toMatchObject({
        code: 'TM_WRITE_CONSENT',
      });
    }
  });

  it('does nothing once nobody knows whether it was done', async () => {
    const { workspace, clock } = await bench.parts();
    const handler = clearDataHandler({ workspace, clock, audit });
    const job = await bench.job(handler, { confirm: INSTANCE });
    const checkpoint = { phase: 'clearing', backup: 'bk_1', keys: 9, runId: 'x' };
    const { error } = await attempt(handler, job, { checkpoint });
    expect(error).toMatchObject({ code: 'TM_CLEAR_UNKNOWN' });
    expect(await client.dbsize()).toBe(100);
  });

  it('removes them after a verified backup that gives them back', async () => {
    const { workspace, clock } = await bench.parts();
    const handler = clearDataHandler({ workspace, clock, audit });
    const job = await bench.job(handler, { confirm: INSTANCE });
    const { outcome, error, checkpoint } = await attempt(handler, job);
    expect(error).toBeNull();
    const { backup, keys } = outcome?.result as { backup: string; keys: number };
    expect(keys).toBe(200);
    expect(await client.dbsize()).toBe(0);
    expect(notes).toMatchObject([{ action: 'data.clear', instance: INSTANCE, job: job.id }]);

    // What came after is not cleared when the worker ended before it said that it was done.
    await client.set('new', '1');
    const again = await attempt(handler, job, { checkpoint });
    expect(again.error).toBeNull();
    expect(await client.get('new')).toBe('1');

    const clone = await bench.clone({
      ...{ source: { kind: 'backup', backup }, name: 'back', target: { kind: 'local' } },
    });
    expect(clone.error).toBeNull();
    expect(clone.outcome?.result).toMatchObject({ keys: 200 });
  });

  it('leaves them alone while nobody makes the backup', async () => {
    const { workspace, clock } = await bench.parts();
    const handler = clearDataHandler({ workspace, clock, audit });
    const job = await bench.job(handler, { confirm: INSTANCE });
    await client.set('mine', '1');
    // As on a host where none runs.
    const away = withParts(workspace, { askArchiver: () => Promise.resolve(null) });
    const alone = clearDataHandler({ workspace: away, clock, audit });
    expect((await attempt(alone, job)).error).toMatchObject({ code: 'TM_ARCHIVER_DOWN' });
    expect(await client.get('mine')).toBe('1');
  });

  it.each([
    ['no archiver runs', () => null],
    ['nothing is proven', () => ({ provenTo: null })],
    ['the proof is of before', () => ({ provenTo: Math.floor(Date.now() / 1000) - 60 })],
  ])('leaves them alone when what came after the backup is not stored: %s', async (_, answer) => {
    await client.set('mine', '2');
    const { workspace } = await bench.parts();
    const askArchiver = (...asked: Parameters<Workspace['askArchiver']>): Promise<unknown> =>
      asked[0] === 'roll' ? Promise.resolve(answer()) : workspace.askArchiver(...asked);
    const handler = clearDataHandler({
      workspace: withParts(workspace, { askArchiver }),
      ...{ clock: steppingClock(Date.now()), audit },
    });
    const job = await bench.job(handler, { confirm: INSTANCE });
    expect((await attempt(handler, job)).error).toMatchObject({
      code: 'TM_ARCHIVER_DOWN',
      context: { instance: INSTANCE },
    });
    expect(await client.get('mine')).toBe('2');
  });

  it('leaves them alone while flashback is off: nobody has what is written after the backup', async () => {
    const { workspace, clock } = await bench.parts();
    const { config } = workspace;
    const policy = { ...config.policy, policy: { ...config.policy.policy, flashback: false } };
    const off = withParts(workspace, { config: { ...config, policy } });
    const handler = clearDataHandler({ workspace: off, clock, audit });
    const job = await bench.job(handler, { confirm: INSTANCE });
    expect((await attempt(handler, job)).error).toMatchObject({ code: 'TM_FLASHBACK_OFF' });
    expect(await client.get('mine')).toBe('2');
  });

  it('makes another backup when it goes on long after its first one', async () => {
    const { workspace, clock } = await bench.parts();
    const handler = clearDataHandler({ workspace, clock, audit });
    const job = await bench.job(handler, { confirm: INSTANCE });
    const atMs = Date.now() - 2 * 3_600_000;
    const checkpoint = { phase: 'backed-up', backup: 'bk_old', keys: 1, runId: 'x', atMs };
    const { outcome, error } = await attempt(handler, job, { checkpoint });
    expect(error).toBeNull();
    expect((outcome?.result as { backup: string }).backup).not.toBe('bk_old');
    expect(await client.dbsize()).toBe(0);
  });
});

it('data of a node whose history nobody follows are left alone, though that of another one is', async () => {
  await using psync = await CloneBench.open({}, { source: 'psync' });
  const { archive } = psync;
  await using elected = await startRedis({ aof: false, config: { save: '' } });
  const [node, other] = [await archive.server.connect(), await elected.connect()];
  const clear = async (port: number, clock: Clock): Promise<Attempt> => {
    const entry = { id: INSTANCE, url: `redis://127.0.0.1:${port}`, source: 'psync' };
    const lines = Object.entries(entry).map(([name, value]) => `${name} = "${value}"\n`);
    await psync.configure({ more: `[[instance]]\n${lines.join('')}` });
    const { workspace } = await psync.parts();
    const handler = clearDataHandler({ workspace, clock, audit });
    return attempt(handler, await psync.job(handler, { confirm: INSTANCE }));
  };
  await node.set('captured', '1');
  expect((await clear(archive.server.port, systemClock)).error).toBeNull();
  expect(await node.dbsize()).toBe(0);
  // As behind Sentinels that elected another one, of which the archiver does not know yet.
  await other.set('nowhere-else', '1');
  let waitedMs = 0;
  const hasty: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + waitedMs,
    sleep: () => Promise.resolve(void (waitedMs += 60_000)),
  };
  expect((await clear(elected.port, hasty)).error).toMatchObject({
    ...{ code: 'TM_ARCHIVER_DOWN', context: { instance: INSTANCE, isFollowed: false } },
  });
  expect(await other.get('nowhere-else')).toBe('1');
}, 60_000);

/** The same workspace with other parts. */
function withParts(workspace: Workspace, parts: Partial<Workspace>): Workspace {
  return new Proxy(workspace, {
    get(target, name) {
      if (name in parts) return Reflect.get(parts, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
