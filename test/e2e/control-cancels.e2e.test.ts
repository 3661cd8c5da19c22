import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectNode, openNodeTls, type NodeAddress } from '@tidemark/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ControlHost,
  ID,
  ONE,
  withRedis,
  type JobDocument,
  type Worker,
} from '../support/control-e2e/control-host.ts';
import { tellStory, withKeysOf, withoutDigests, type Story } from '../support/control-e2e/story.ts';
import type { Answer } from '../support/api-run.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import type { ArchiverProcess } from '../support/tidemark-cli.ts';
import { TestCa } from '../support/tls/certificates.ts';

/** A worker looks for cancelled jobs four times a second. */
const LOOK_MS = 250;
/** In these a job may end before it can be called off. */
const LAST: ReadonlySet<string> = new Set(['promote', 'settle', 'write']);
const CLONES = '/v1/clones';
const PASSWORD = 'Correct-Horse-7';

let host: ControlHost;
let worker: Worker;
let api: ArchiverProcess;
let target: RedisServer;
let story: Story;
let ca: TestCa;
let point: object;

beforeAll(async () => {
  target = await startRedis({ aof: false });
  host = await ControlHost.start(`workers = 1\nallow_targets = ["127.0.0.1:${target.port}"]\n`);
  ca = await TestCa.create('CA');
  const { cert, key } = await ca.issue();
  const secrets = join(host.tidemark.dir, 'secrets');
  await mkdir(secrets, { recursive: true, mode: 0o700 });
  const files = { 'clone.pem': cert, 'clone.key': key, 'ca.pem': ca.cert };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(secrets, name), content, { mode: 0o600 });
  }
  host.archiver();
  api = host.api();
  await host.untilServed();
  worker = await host.worker();
  story = await tellStory(host);
  point = { restoreType: 'pointInTime', restoreTime: story.at };
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
});

/**
 * Asks for work, cancels it as a phase begins, and waits for its end. Of a clone another API is asked to: the
 * first one is killed in that phase.
 */
async function cancelAt(phase: string, path: string, body: object): Promise<JobDocument> {
  await worker.stopAt(phase);
  const id = await host.begin(path, body);
  await worker.stopped();
  if (path === CLONES) {
    await api.kill();
    api = host.api();
    await host.untilServed();
  }
  try {
    expect(await host.job(id)).toMatchObject({ state: 'running', phase });
    const cancelled = await host.post(`/v1/jobs/${id}:cancel`);
    expect([cancelled.status, cancelled.body]).toMatchObject([200, { id, state: 'cancelling' }]);
    // Its next look is due by then: it comes before anything else when the worker goes on.
    await delay(2 * LOOK_MS);
  } finally {
    worker.goOn();
  }
  return host.ended(id);
}

/**
 * Cancels a job as a phase begins, and goes on with it to its end. Nothing may be left in between; its events
 * tell of both attempts, without a gap.
 * @param left - What is left in this host and its servers.
 */
async function cancelAndResume(
  phase: string,
  path: string,
  body: object,
  left: () => Promise<unknown> = () => host.leftovers(),
): Promise<JobDocument> {
  const before = await left();
  const job = await cancelAt(phase, path, body);
  // In its last phase it may be whole before it can be called off.
  if (job.state === 'succeeded' && LAST.has(phase)) return job;
  expect(job).toMatchObject({ state: 'cancelled', resumable: true, problem: null });
  expect(await left()).toEqual(before);
  const { id } = job;
  const answer = await host.post(`/v1/jobs/${id}:resume`);
  expect([answer.status, answer.body], answer.text).toMatchObject([200, { id, state: 'queued' }]);
  const done = await host.ended(id);
  expect(done).toMatchObject({ state: 'succeeded', attempt: 2, resumable: false, problem: null });
  const follower = host.follow(id);
  await follower.done;
  expect(follower.seen.map((event) => event.id)).toEqual(follower.seen.map((_, i) => i + 1));
  const states = new Set(follower.seen.map((event) => event.job.state));
  expect([...states]).toEqual(
    expect.arrayContaining(['queued', 'running', 'cancelling', 'cancelled', 'succeeded']),
  );
  return done;
}

describe('a restore', () => {
  const path = `${ONE}/restores`;

  it.each(['plan', 'verify', 'preflight', 'attach', 'replay', 'promote'])(
    'into a new server, cancelled as %s begins, leaves nothing; resumed it is exact',
    async (phase) => {
      const body = { ...point, target: { kind: 'new' }, verify: 'full' };
      const { result } = await cancelAndResume(phase, path, body);
      const password = await host.passwordOf(result);
      const found = await withRedis(String(result?.['target']), readOracle, password);
      expect(diffOracle(story.then, found)).toEqual([]);
    },
  );

  it.each(['attach', 'replay'])(
    'into a server that runs, cancelled as %s begins, gives it back as it was; resumed it is exact',
    async (phase) => {
      const client = await target.connect();
      const left = async (): Promise<unknown> => [
        ...[await client.call('ACL', 'LIST'), await client.config('GET', '*')],
        ...[await client.dbsize(), await client.call('FUNCTION', 'LIST')],
        ...[String(await client.role()).split(',')[0], await host.leftovers()],
      ];
      const url = `redis://127.0.0.1:${target.port}`;
      const body = { ...point, target: { kind: 'address', url }, verify: 'full' };
      try {
        await cancelAndResume(phase, path, body, left);
        expect(diffOracle(story.then, await readOracle(client))).toEqual([]);
      } finally {
        await client.flushall();
        await client.call('FUNCTION', 'FLUSH');
        client.disconnect();
      }
    },
  );

  it('of keys into the original, cancelled and resumed, writes those and no other', async () => {
    const asked = { ...point, filterGlobs: ['cart:*'], ttl: { mode: 'keep' }, confirm: ID };
    const body = { ...asked, target: { kind: 'original' } };
    for (const phase of ['plan', 'write']) {
      await host.redis.set('cart:3', 'wrong');
      const { kind } = await cancelAndResume(phase, path, body);
      expect(kind).toBe('write-back');
    }
    const wanted = withKeysOf(story.then, story.now, (key) => key.startsWith('cart:'));
    const found = withoutDigests(await readOracle(host.redis));
    expect(diffOracle(withoutDigests(wanted), found)).toEqual([]);
  });
});

/** Nobody comes in with another password, with none, or in the clear. */
async function expectClosed(url: string): Promise<void> {
  const port = Number(new URL(url).port);
  const address = { host: '127.0.0.1', port };
  using tls = await openNodeTls({
    caFiles: [join(host.tidemark.dir, 'secrets', 'ca.pem')],
  });
  const ask = async (more: Partial<NodeAddress>): Promise<unknown> => {
    await using client = await connectNode({ ...address, ...more });
    return await client.call('PING');
  };
  expect(await ask({ tls, password: PASSWORD })).toBe('PONG');
  const refused = { code: 'TM_NODE_AUTH' };
  await expect(ask({ tls, password: 'Wrong-Horse-7' })).rejects.toMatchObject(refused);
  await expect(ask({ tls })).rejects.toMatchObject(refused);
  await expect(ask({ password: PASSWORD })).rejects.toThrow();
}

describe('a clone with a password, over TLS only', () => {
  const asked = (name: string): object => ({
    ...{ ...point, sourceId: ID, name, password: PASSWORD, sample: 20 },
    target: { kind: 'local', tls: { cert: 'clone.pem', key: 'clone.key', ca: ['ca.pem'] } },
  });

  it.each(['source', 'provision', 'replay', 'promote', 'verify', 'settle'])(
    'cancelled as %s begins leaves nothing; resumed it is exact and closed',
    async (phase) => {
      const { result } = await cancelAndResume(phase, CLONES, asked(`copy-${phase}`));
      expect(JSON.stringify(result)).not.toContain(PASSWORD);
      const url = String(result?.['url']);
      expect(url).toMatch(/^rediss:/);
      const tls = { ca: ca.cert };
      const found = await withRedis(url, (client) => readOracle(client), {
        ...{ tls, password: PASSWORD },
      });
      expect(diffOracle(withoutDigests(story.then), withoutDigests(found))).toEqual([]);
      await expectClosed(url);
    },
  );

  it('of a memory class below what the source needs is refused, and leaves nothing', async () => {
    const before = await host.leftovers();
    const id = await host.begin(CLONES, { ...asked('small'), memoryBytes: 100_000 });
    const job = await host.ended(id);
    expect(job).toMatchObject({ state: 'failed', problem: { code: 'TM_TARGET_MEMORY' } });
    expect(await host.leftovers()).toEqual(before);
  });

  it('is listed with what made it, and ended by its name, its data only when that is said', async () => {
    interface Server {
      readonly name: string;
      readonly job: string;
      readonly pid: number | null;
    }
    const list = async (): Promise<readonly Server[]> =>
      (await host.ask('/v1/servers')).body?.['servers'] as readonly Server[];
    const before = await list();
    const server = before.find(({ name }) => name === 'copy-settle');
    expect(server).toMatchObject({ kind: 'clone', state: 'running', instance: ID, tls: true });
    expect(await host.job(server?.job ?? '')).toMatchObject({ kind: 'clone' });
    expect(JSON.stringify(before)).not.toContain(host.tidemark.dir);
    const path = '/v1/servers/copy-settle';
    const ends = (query: string): Promise<Answer> => host.ask(path + query, { method: 'DELETE' });
    expect((await ends('?data=all')).status).toBe(400);
    const folders = (await host.servers()).length;
    expect((await ends('')).body).toMatchObject({ name: 'copy-settle', pid: server?.pid });
    expect((await list()).find(({ name }) => name === 'copy-settle')).toMatchObject({
      ...{ state: 'ended', pid: null },
    });
    expect(await host.servers()).toHaveLength(folders);
    expect((await ends('?data=delete')).status).toBe(200);
    expect(await host.servers()).toHaveLength(folders - 1);
    expect((await ends('')).status).toBe(404);
    expect((await list()).filter(({ pid }) => pid !== null)).toHaveLength(
      before.filter(({ pid }) => pid !== null).length - 1,
    );
  });
});
