import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { instanceLogKey } from '@tidemark/archive';
import { createInstance } from '@tidemark/catalog';
import { systemClock, systemRandom } from '@tidemark/system';
import { addInstance, loadConfig, Workspace } from '@tidemark/workspace';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { askStatus } from '../../../services/control/src/queries/status.ts';
import { releaseInstance } from '../../../services/control/src/recycle/release-instance.ts';
import type { Answer } from '../../support/api-run.ts';
import { eventually } from '../../support/eventually.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RoutesRun } from '../../support/routes-run.ts';

let run: RoutesRun;
let node: RedisServer;
let other: RedisServer;
let files: RedisServer;
/** What was opened, also when the rest could not be. */
const opened: AsyncDisposable[] = [];

beforeAll(async () => {
  [node, other, files] = await Promise.all([
    startRedis({ aof: false }),
    startRedis({ aof: false }),
    startRedis({ config: { 'aof-timestamp-enabled': 'yes' } }),
  ]);
  opened.push(node, other, files);
  const allow = [node, files].map(({ port }) => `"127.0.0.1:${port.toString()}"`).join(', ');
  run = await RoutesRun.start('first', `[server]\nallow_sources = [${allow}]\n`);
  opened.push(run);
  const secrets = join(run.tidemark.dir, 'secrets');
  await mkdir(secrets, { mode: 0o700, recursive: true });
  for (const [name, text] of [
    ['one', 'Correct-Horse-1'],
    ['two', 'Correct-Horse-2'],
    ['recycle-orders.pass', 'Correct-Horse-3'],
  ] as const) {
    await writeFile(join(secrets, name), `${text}\n`, { mode: 0o600 });
  }
});

afterAll(async () => {
  for (const part of opened.reverse()) await part[Symbol.asyncDispose]();
});

function urlOf({ port }: RedisServer): string {
  return `redis://127.0.0.1:${port.toString()}`;
}

function patch(id: string, body: object, token?: string): Promise<Answer> {
  const more = token === undefined ? {} : { token };
  return run.api.ask(`/v1/instances/${id}`, { method: 'PATCH', body, ...more });
}

/** The timelines of an instance, as its catalog has them now. */
async function timelinesOf(id: string): Promise<readonly string[]> {
  const catalog = await run.api.control.fresh.of(id, 0);
  return catalog.timelines(id).map(({ timeline }) => timeline);
}

it.each([
  ['a server that no rule names', { url: 'redis://127.0.0.1:1' }, 'TM_TARGET_DENIED'],
  ['metadata of a cloud', { url: 'redis://169.254.169.254:80' }, 'TM_TARGET_DENIED'],
  ['a unix socket', { url: 'unix:///run/redis.sock' }, 'TM_TARGET_DENIED'],
  ['a Sentinel set', { url: 'redis+sentinel://127.0.0.1:1/m' }, 'TM_TARGET_DENIED'],
  ['a password in the address', { url: 'redis://u:p@127.0.0.1:1' }, 'TM_USAGE'],
  ['a file beside the secrets', { passwordRef: '..' }, undefined],
  ['a file that is not there', { passwordRef: 'none' }, 'TM_NOT_FOUND'],
  ['a file of Tidemark itself', { passwordRef: 'recycle-orders.pass' }, 'TM_TARGET_DENIED'],
  ['such a file as of TLS', { tls: { ca: ['recycle-orders.pass'] } }, 'TM_TARGET_DENIED'],
  ['a folder of a capture by replication', { aofDir: '/etc' }, undefined],
  ['files without a folder', { source: 'aof' }, undefined],
  ['a name with a path in it', { id: '../x' }, undefined],
])('%s is not taken under protection', async (_, wrong, code) => {
  const before = await readFile(run.tidemark.config, 'utf8');
  const wish = { id: 'second', url: urlOf(node), source: 'psync', ...wrong };
  const answer = await run.post('/v1/instances', wish);
  expect([404, 422], answer.text).toContain(answer.status);
  expect(answer.body?.['code']).toBe(code);
  expect(await readFile(run.tidemark.config, 'utf8')).toBe(before);
});

it('a folder that is not the one its server writes to is refused', async () => {
  const wish = { id: 'third', url: urlOf(files), source: 'aof', aofDir: run.source.aofDir };
  const answer = await run.post('/v1/instances', wish);
  expect(answer.body, answer.text).toMatchObject({ code: 'TM_AOF_DIR' });
});

it('an instance that is added by request is captured and seen everywhere without a restart', async () => {
  const { dir, config } = run.tidemark;
  using elsewhere = await Workspace.open({ configPath: config });
  const wish = { id: 'second', url: urlOf(node), source: 'psync' };
  const reader = await run.api.tokenOf('restorer', 'read,backup,restore');
  const headers = { 'idempotency-key': randomUUID() };
  const asked = { method: 'POST', headers, body: wish } as const;
  const denied = await run.api.ask('/v1/instances', { ...asked, token: reader });
  expect(denied.status).toBe(403);
  // As somebody leaves it who was killed right after the record of it was made.
  const { store, keys } = elsewhere;
  const made = { iid: 'second', name: 'second', createdMs: 1, logKey: await keys.logKey('second') };
  await createInstance({ store, clock: systemClock, random: systemRandom, ...made });
  await store.delete(instanceLogKey('second', 0));
  const added = await run.api.ask('/v1/instances', asked);
  expect(added.body, added.text).toMatchObject({
    ...{ instance: 'second', source: 'psync', role: 'master', attached: true },
  });
  expect([added.status, added.headers.get('location')]).toEqual([201, '/v1/instances/second']);
  const again = await run.api.ask('/v1/instances', asked);
  expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([added.text, 'true']);
  const twice = await run.post('/v1/instances', wish);
  expect(twice.body).toMatchObject({ status: 409, code: 'TM_EXISTS' });
  const one = await run.api.ask('/v1/instances/second');
  expect(one.body).toMatchObject({ id: 'second', configured: true, source: 'psync' });
  // Another process of the host looks before it reads the log.
  await elsewhere.sync(AbortSignal.timeout(30_000));
  expect(elsewhere.config.instances.map(({ id }) => id)).toEqual(['first', 'second']);
  expect(elsewhere.config.stateDir).toContain(dir);
  await run.tidemark.untilProven('second', Math.floor(Date.now() / 1000));
  const backup = await run.done('/v1/instances/second/backups', {});
  expect(backup).toMatchObject({ state: 'succeeded', instance: 'second' });
});

it('a node beside the archiver is added with its files', async () => {
  const wish = { id: 'third', url: urlOf(files), source: 'aof', aofDir: files.aofDir };
  const added = await run.post('/v1/instances', wish);
  expect(added.body, added.text).toMatchObject({
    ...{ instance: 'third', source: 'aof', timestamps: 'on', attached: true },
  });
});

it('a password is changed once the node accepts it, and the timeline goes on', async () => {
  const client = await node.connect();
  const before = await timelinesOf('second');
  expect(before).toHaveLength(1);
  await client.config('SET', 'requirepass', 'Correct-Horse-1');
  const wrong = await patch('second', { passwordRef: 'two' });
  expect(wrong.status, wrong.text).toBeGreaterThanOrEqual(400);
  expect(wrong.text).not.toContain('Correct-Horse');
  const ofOthers = await patch('second', { passwordRef: 'recycle-orders.pass' });
  expect(ofOthers.body).toMatchObject({ status: 422, code: 'TM_TARGET_DENIED' });
  const right = await patch('second', { passwordRef: 'one' });
  expect(right.body, right.text).toMatchObject({ id: 'second', attached: true, warnings: [] });
  const { instances } = await loadConfig(run.tidemark.config);
  expect(instances.find(({ id }) => id === 'second')).toMatchObject({
    password_file: join(run.tidemark.dir, 'secrets', 'one'),
  });
  await client.set('after', 'the change');
  await run.tidemark.untilProven('second', Math.floor(Date.now() / 1000));
  expect(await timelinesOf('second')).toEqual(before);
  const { body } = await run.api.ask('/v1/instances/second/windows');
  expect(body).toMatchObject({ gaps: [] });
  const { body: audit } = await run.api.ask('/v1/audit?pageSize=500');
  const actions = (audit?.['entries'] as { readonly action: string }[]).map((each) => each.action);
  expect(actions).toEqual(expect.arrayContaining(['instance.add', 'instance.change']));
});

it('another node is another instance, and what to do is said', async () => {
  const answer = await patch('second', { url: urlOf(other) });
  expect(answer.body).toMatchObject({ status: 409, errors: [{ pointer: '/url' }] });
  expect(String(answer.body?.['detail'])).toContain('DELETE /v1/instances/second');
  const replica = await patch('second', { preferReplica: true });
  expect(replica.body).toMatchObject({ status: 409, code: 'TM_CONFIG' });
  expect((await patch('second', {})).status).toBe(422);
  expect((await patch('nobody', { user: 'x' })).status).toBe(404);
  const reader = await run.api.tokenOf('backups', 'backup');
  expect((await patch('second', { user: 'x' }, reader)).status).toBe(403);
});

it('a configuration that is wrong is told of and changes nothing; SIGHUP reads it at once', async () => {
  const { config } = run.tidemark;
  const text = await readFile(config, 'utf8');
  const known = run.api.control.workspace.config.instances.length;
  await writeFile(config, `${text}\n[[instance]]\n`);
  const logged = (msg: string): number => run.api.log.filter((line) => line['msg'] === msg).length;
  await eventually('the fault is told', () => logged('config-refused') === 1);
  expect(run.api.control.workspace.config.instances).toHaveLength(known);
  await writeFile(config, text);
  // Nothing changes any more: the next one is due to the signal.
  await run.api.control.workspace.reload(true);
  const reloaded = logged('config-reloaded');
  process.kill(process.pid, 'SIGHUP');
  await eventually('it is read', () => logged('config-reloaded') > reloaded);
});

it('of instances that are added at one instant none is lost', async () => {
  const path = join(run.tidemark.dir, 'many.toml');
  await writeFile(path, await readFile(run.tidemark.config, 'utf8'));
  const ids = Array.from({ length: 8 }, (_, at) => `many-${at.toString()}`);
  await Promise.all(
    ids.map((id) => addInstance(path, { id, url: 'redis://127.0.0.1:1', source: 'psync' })),
  );
  const { instances } = await loadConfig(path);
  expect(instances.map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
  await rm(path);
});

it('a release that fails leaves an instance captured, one whose caller has left is ended', async () => {
  const { control } = run.api;
  const { workspace } = control;
  const captureOf = async (id: string): Promise<string | undefined> => {
    const status = await askStatus(workspace, AbortSignal.timeout(30_000));
    return status?.captures.find(({ instance }) => instance === id)?.state;
  };
  const isCaptured = async (): Promise<boolean> =>
    /^(capturing|caught-up)$/.test((await captureOf('third')) ?? '');
  const parts = { workspace, clock: systemClock, random: systemRandom, warn: () => undefined };
  const signal = AbortSignal.timeout(60_000);
  const failing = releaseInstance('third', { ...parts, signal }, async () => {
    expect(await captureOf('third')).toBeUndefined();
    throw new Error('the store is away');
  });
  await expect(failing).rejects.toThrow('the store is away');
  await eventually('it is captured again', isCaptured);

  const ask = workspace.askArchiver.bind(workspace);
  const leaves = new AbortController();
  const spy = vi.spyOn(workspace, 'askArchiver').mockImplementation(async (method, ...rest) => {
    if (method === 'detach') {
      leaves.abort();
      await systemClock.sleep(300); // until the server has seen it
    }
    return ask(method, ...rest);
  });
  const headers = { authorization: `Bearer ${run.api.token}` };
  const asked = { method: 'DELETE', headers, signal: leaves.signal };
  await expect(fetch(`${run.api.url}/v1/instances/third`, asked)).rejects.toThrow();
  await eventually('it is in the bin', async () =>
    (await run.api.ask('/v1/recycle-bin')).text.includes('"id":"third"'),
  );
  await eventually('it is configured no more', async () =>
    (await loadConfig(run.tidemark.config)).instances.every(({ id }) => id !== 'third'),
  );
  spy.mockRestore();
  const sync = vi.spyOn(workspace, 'sync');
  const bins = await Promise.all(Array.from({ length: 12 }, () => run.api.ask('/v1/recycle-bin')));
  for (const { text } of bins) expect(text).toContain('"id":"third"');
  // The store is not read for each of them.
  expect(sync.mock.calls.filter(([, only]) => only == null).length).toBeLessThan(12);
  sync.mockRestore();
});
