import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { endProcesses } from '../../../services/control/src/provision/local-folder.ts';
import type { Answer } from '../../support/api-run.ts';
import { deletesOne } from '../../support/control-api/deletes-one.ts';
import { formsOf, jobTraces } from '../../support/control-api/job-traces.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { RoutesRun } from '../../support/routes-run.ts';
import { iso } from '../../support/tidemark-cli.ts';
import { freePort } from '../../support/tls/tls-server.ts';

const ID = 'shop';
const ONE = `/v1/instances/${ID}`;

let run: RoutesRun;
let target: RedisServer;
/** What was opened, also when the rest could not be. */
const opened: AsyncDisposable[] = [];
let redis: Redis;
/** What the source held at the end of the second `at`. */
let then: Oracle;
let at: number;

beforeAll(async () => {
  target = await startRedis({ aof: false });
  opened.push(target);
  const first = await freePort();
  const ports = `${first.toString()}-${Math.min(65_535, first + 40).toString()}`;
  const allow = `[restorer]\nallow_targets = ["127.0.0.1:${target.port.toString()}"]\n`;
  run = await RoutesRun.start(ID, `${allow}[clone]\nports = "${ports}"\ndir = "clones"\n`);
  opened.push({ [Symbol.asyncDispose]: endClones }, run);
  redis = await run.source.connect();
  for (let i = 0; i < 40; i++) {
    await redis.pipeline().set(`key:${i}`, i).hset(`cart:${i}`, 'sum', i).exec();
  }
  await redis.set('session', 'one', 'EX', 3600);
  then = await readOracle(redis);
  at = Math.floor(Date.now() / 1000);
  // Whatever comes later belongs to a later second.
  await delay(1_100);
  await redis.pipeline().set('key:1', 'wrong').del('key:2').set('key:new', 1).flushdb().exec();
  await redis.set('cart:1', 'wrong');
  await redis.set('other', 'stays');
  await run.tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});

afterAll(async () => {
  for (const part of opened) await part[Symbol.asyncDispose]();
});

async function endClones(): Promise<void> {
  const root = join(run.tidemark.dir, 'clones');
  for (const name of await readdir(root).catch(() => [])) {
    await endProcesses(join(root, name), false);
  }
}

it('of two backups that are asked for at once one is made, and the other is told why not', async () => {
  const answers = await Promise.all([run.post(`${ONE}/backups`), run.post(`${ONE}/backups`)]);
  const [made, refused] = answers.sort((a, b) => a.status - b.status);
  expect([made.status, refused.status]).toEqual([202, 409]);
  expect(refused.body).toMatchObject({ type: 'urn:tidemark:problem:backup-in-progress' });
  expect(made.headers.get('retry-after')).toMatch(/^\d+$/);
  const location = made.headers.get('location') ?? '';
  expect(location).toBe(`/v1/jobs/${String(made.body?.['id'])}`);
  const job = await run.ended(location);
  expect(job).toMatchObject({ kind: 'backup', state: 'succeeded', instance: ID, percent: 100 });
  const { backup } = job['result'] as { readonly backup: string };
  const one = await run.api.ask(`/v1/backups/${backup}`);
  expect(one.body).toMatchObject({ id: backup, instance: ID, shards: [{ id: backup }] });
});

it('a list of backups is what the command line lists, newest first, in pages', async () => {
  const listed = await run.tidemark.json<{ backups: readonly { id: string }[] }>(
    ...['backup', 'list', ID],
  );
  const ids = [...listed.backups].map(({ id }) => id).sort();
  const found: { readonly id: string; readonly start: string }[] = [];
  let token = '';
  do {
    const { body } = await run.api.ask(`${ONE}/backups?pageSize=1${token}`);
    found.push(...(body?.['backups'] as typeof found));
    const next = body?.['nextPageToken'] as string | null;
    token = next === null ? '' : `&pageToken=${next}`;
  } while (token !== '');
  expect(found.map(({ id }) => id).sort()).toEqual(ids);
  expect(found.map(({ start }) => start)).toEqual(
    found
      .map(({ start }) => start)
      .sort()
      .reverse(),
  );
  for (const row of listed.backups) {
    expect(found).toContainEqual(expect.objectContaining({ ...row, instance: ID, hold: false }));
  }
  const { body } = await run.api.ask(`${ONE}/backups?end=2001-01-01T00:00:00Z`);
  expect(body).toEqual({ instance: ID, backups: [], nextPageToken: null });
});

it('a backup that is held says so until it is released', async () => {
  const { body } = await run.api.ask(`${ONE}/backups?pageSize=1`);
  const [{ id } = { id: '' }] = body?.['backups'] as { readonly id: string }[];
  const patch = async (hold: boolean): Promise<unknown> => {
    const answer = await run.api.ask(`/v1/backups/${id}`, { method: 'PATCH', body: { hold } });
    return (answer.body?.['shards'] as { readonly hold: boolean }[])[0]?.hold;
  };
  expect([await patch(true), await patch(true)]).toEqual([true, true]);
  const { leases } = (await run.api.control.fresh.of(ID, 0)).instance(ID);
  expect(leases).toEqual([expect.objectContaining({ lease: `hold-${id}`, purpose: 'hold' })]);
  expect(await patch(false)).toBe(false);
  expect((await run.api.control.fresh.of(ID, 0)).instance(ID).leases).toEqual([]);
});

it('a backup is labelled, found by that, and deleted by who may; then nothing new is made from it', async () => {
  await deletesOne(run, ID);
});

it('a second is restored whole into another server', async () => {
  const url = `redis://127.0.0.1:${target.port.toString()}`;
  const job = await run.done(`${ONE}/restores`, {
    restoreType: 'pointInTime',
    restoreTime: iso(at).replace('Z', '+00:00'),
    target: { kind: 'address', url },
  });
  expect(job).toMatchObject({ kind: 'restore', state: 'succeeded' });
  const restored = await target.connect();
  expect(diffOracle(then, await readOracle(restored))).toEqual([]);
  const { body } = await run.api.ask((job['links'] as { readonly logs: string }).logs);
  expect((body?.['lines'] as unknown[]).length).toBeGreaterThan(0);
});

it('a plan shows what a restore of keys would do, and the restore does exactly that', async () => {
  const wish = {
    ...{ restoreType: 'pointInTime', restoreTime: iso(at) },
    ...{ filterKeys: ['cart:1'], filterRegexes: ['key:[12]'], target: { kind: 'original' } },
  };
  const plan = await run.api.ask('/v1/restore-plans', {
    ...{ method: 'POST', body: { instanceId: ID, ...wish } },
  });
  expect(plan.status, plan.text).toBe(200);
  expect(plan.body).toMatchObject({
    ...{ instance: ID, confirmationText: ID },
    matchedKeys: { changed: 1, missing: 2, created: 0 },
  });
  expect(plan.text).toContain('key:2');
  const blind = await run.api.ask('/v1/restore-plans', {
    ...{ method: 'POST', body: { instanceId: ID, ...wish } },
    token: await run.api.tokenOf('planner', 'restore,admin'),
  });
  expect(blind.body, blind.text).toMatchObject({ matchedKeys: { changed: 1, missing: 2 } });
  expect(blind.body?.['report']).not.toHaveProperty('sample');
  for (const name of ['key:2', 'cart:1', 'key:[12]']) expect(blind.text).not.toContain(name);
  const { body: audit } = await run.api.ask('/v1/audit?pageSize=10');
  expect(audit?.['entries']).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ action: 'restore.plan', detail: 'original' }),
      expect.objectContaining({ action: 'restore.plan', detail: 'original, with keys' }),
    ]),
  );
  const planId = String(plan.body?.['planId']);
  const other = await run.post(`${ONE}/restores`, {
    ...{ ...wish, filterKeys: ['cart:2'], planId, confirm: ID },
  });
  expect(other.body).toMatchObject({ status: 422, errors: [{ pointer: '/planId' }] });
  const unsure = await run.post(`${ONE}/restores`, { ...wish, planId });
  expect(unsure.body).toMatchObject({ status: 422, errors: [{ pointer: '/confirm' }] });
  const job = await run.done(`${ONE}/restores`, { ...wish, planId, confirm: ID });
  expect(job).toMatchObject({ kind: 'write-back', state: 'succeeded' });
  expect(await redis.mget('key:1', 'key:2', 'key:3', 'other')).toEqual(['1', '2', null, 'stays']);
  expect(await redis.hgetall('cart:1')).toEqual({ sum: '1' });
});

it('what cannot be restored is told before there is a job, with the nearest that can', async () => {
  const { body: windows } = await run.api.ask(`${ONE}/windows`);
  const target_ = { kind: 'new' };
  const before = await run.post(`${ONE}/restores`, {
    ...{ restoreType: 'pointInTime', restoreTime: '2001-01-01T00:00:00Z', target: target_ },
  });
  expect(before.body).toMatchObject({
    ...{ status: 409, type: 'urn:tidemark:problem:time-not-recoverable' },
    ...{ nearestBefore: null, nearestAfter: windows?.['earliest'] },
  });
  const unknown = await run.post(`${ONE}/restores`, {
    ...{ restoreType: 'backup', backupId: 'bk_nobody', target: target_ },
  });
  expect(unknown.body).toMatchObject({ status: 404, code: 'TM_NOT_FOUND' });
  const elsewhere = await run.post(`${ONE}/restores`, {
    ...{ restoreType: 'latest', target: { kind: 'address', url: 'redis://127.0.0.1:1' } },
  });
  expect(elsewhere.body).toMatchObject({ code: 'TM_TARGET_DENIED' });
  const { body } = await run.api.ask('/v1/jobs?kind=restore&state=queued');
  expect(body?.['jobs']).toEqual([]);
});

it.each([
  ['an unknown field', { restoreType: 'latest', target: { kind: 'new' }, force: 1 }, '/force'],
  ['a time without an offset', { restoreTime: '2026-11-20T10:00:00' }, '/restoreTime'],
  ['a day that no calendar has', { restoreTime: '2026-02-30T10:00:00Z' }, '/restoreTime'],
  ['a time and a backup', { restoreTime: iso(0), backupId: 'bk_1' }, '/backupId'],
  ['no time', {}, '/restoreTime'],
  ['a pattern that is none', { restoreTime: iso(0), filterRegexes: ['a('] }, '/filterRegexes/0'],
  ['an escape that is none', { restoreTime: iso(0), filterKeys: ['a\\q'] }, '/filterKeys/0'],
  ['an empty list of keys', { restoreTime: iso(0), filterKeys: [] }, '/filterKeys'],
  ['a whole instance into the original', { restoreTime: iso(0) }, '/filterKeys'],
  ['a shift of a whole instance', { restoreTime: iso(0), timeShift: iso(1) }, '/timeShift'],
])('%s is refused with its pointer', async (what, fields, pointer) => {
  const kind = what.endsWith('original') ? 'original' : 'new';
  const body = { restoreType: 'pointInTime', target: { kind }, ...fields };
  const answer = await run.post(`${ONE}/restores`, body);
  expect(answer.body, answer.text).toMatchObject({ status: 422 });
  const errors = answer.body?.['errors'] as { readonly pointer: string }[];
  expect(errors.map((error) => error.pointer)).toContain(pointer);
});

it('the history of a key and a diff name what became of it', async () => {
  const key = Buffer.from('key:1').toString('base64url');
  const { body, text } = await run.api.ask(`${ONE}/keys/${key}/history`);
  expect(body, text).toMatchObject({ masked: false, limited: false });
  const did = (body?.['events'] as { readonly did: string }[]).map((event) => event.did);
  expect(did.slice(0, 3)).toEqual(['write', 'write', 'flushed']);
  const diff = await run.api.ask(`${ONE}/diffs`, {
    method: 'POST',
    body: {
      from: { restoreType: 'pointInTime', restoreTime: iso(at) },
      ...{ to: 'live', filterGlobs: ['cart:*'], limit: 1 },
    },
  });
  expect(diff.body, diff.text).toMatchObject({
    ...{ masked: false, counts: { same: 1, missing: 39, changed: 0 } },
    sample: [{ outcome: 'missing', now: null, then: { type: 'hash' } }],
  });
});

it('a policy is changed only by who has seen it as it is', async () => {
  const path = `${ONE}/backup-policy`;
  const before = await run.api.ask(path);
  const etag = before.headers.get('etag') ?? '';
  expect(before.body).toMatchObject({ flashbackEnabled: true, source: 'host' });
  const body = {
    preferredBackupPeriod: ['mon', 'fri'],
    ...{ preferredBackupTime: ['03:30'], timeZone: 'Europe/Berlin', retentionDays: 14 },
  };
  const put = async (headers: Readonly<Record<string, string>>, more = {}): Promise<unknown> =>
    (await run.api.ask(path, { method: 'PUT', headers, body: { ...body, ...more } })).body;
  expect(await put({})).toMatchObject({ status: 428 });
  expect(await put({ 'if-match': '"other"' })).toMatchObject({ status: 412 });
  expect(await put({ 'if-match': etag }, { timeZone: 'No/Where' })).toMatchObject({
    ...{ status: 422, errors: [{ pointer: '/timeZone' }] },
  });
  expect(await put({ 'if-match': etag })).toMatchObject({
    ...{ retentionDays: 14, retentionSeconds: 1_209_600, source: 'instance' },
    nextRuns: [expect.any(String), expect.any(String), expect.any(String)],
  });
  expect(await put({ 'if-match': etag })).toMatchObject({ status: 412 });
  const token = await run.api.tokenOf('policies', 'backup');
  const byBackup = async (more: object): Promise<Answer> => {
    const seen = await run.api.ask(path);
    const headers = { 'if-match': seen.headers.get('etag') ?? '' };
    return run.api.ask(path, { method: 'PUT', token, headers, body: { ...body, ...more } });
  };
  const seen = await run.api.ask(path);
  for (const less of [{ flashbackEnabled: false }, { retentionDays: 13 }, { keepLast: 1 }]) {
    if ('keepLast' in less) expect((await byBackup({ keepLast: 2 })).status).toBe(200);
    const refused = await byBackup(less);
    expect(refused.body, refused.text).toMatchObject({
      ...{ status: 403, type: 'urn:tidemark:problem:forbidden' },
    });
  }
  expect((await run.api.ask(path)).body).toMatchObject({
    ...{ flashbackEnabled: true, retentionSeconds: seen.body?.['retentionSeconds'], keepLast: 2 },
  });
  const now = await run.api.ask(path);
  const same = await run.api.ask(path, {
    headers: { 'if-none-match': now.headers.get('etag') ?? '' },
  });
  expect(same.status).toBe(304);
});

it('instances, their status and facts, and the audit of what was asked', async () => {
  const list = await run.api.ask('/v1/instances');
  expect(list.body).toEqual(await run.tidemark.json('instance', 'list'));
  const one = await run.api.ask(ONE);
  expect(one.body).toMatchObject({
    ...{ id: ID, tde: 'disabled', configured: true, status: { holes: 0 } },
  });
  const facts = await run.api.ask(`${ONE}/facts`);
  expect(facts.body).toEqual(await run.tidemark.json('instance', 'facts', ID));
  const check = await run.api.ask(`${ONE}:check`, { method: 'POST', body: {} });
  expect(check.body, check.text).toMatchObject({ instance: ID, healthy: true });
  const status = await run.api.ask('/v1/status');
  expect(status.body).toMatchObject({ instances: [{ instance: ID }] });
  const { body } = await run.api.ask('/v1/audit?pageSize=500');
  const entries = body?.['entries'] as { readonly action: string; readonly detail: string }[];
  const actions = entries.map(({ action }) => action);
  expect(actions).toEqual(
    expect.arrayContaining([
      ...['job.submit.restore', 'backup.hold', 'key.history', 'policy.set'],
      ...['backup.label', 'backup.delete', 'backup.undelete'],
    ]),
  );
  // Who has the keys can tell which one was looked at.
  const { keyHash } = await run.tidemark.json<{ keyHash: string }>('key', 'hash', ID, 'key:1');
  expect(entries.find(({ action }) => action === 'key.history')?.detail).toBe(keyHash);
});

it('what is not there, and who may not, is told alike everywhere', async () => {
  const paths = ['', '/backups', '/windows', '/tde', '/backup-policy', '/facts'];
  for (const path of paths) {
    const { body, text } = await run.api.ask(`/v1/instances/nobody${path}`);
    expect(body, `${path}: ${text}`).toMatchObject({ status: 404, code: 'TM_NOT_FOUND' });
  }
  for (const path of ['/v1/jobs/job-x', '/v1/backups/bk_x']) {
    expect((await run.api.ask(path)).status).toBe(404);
  }
  // Many callers say with every request that they send JSON.
  const empty = await run.api.ask('/v1/jobs/job-x:cancel', { method: 'POST', body: '' });
  expect([empty.status, empty.body]).toEqual([404, expect.objectContaining({ status: 404 })]);
  const token = await run.api.tokenOf('reader', 'read');
  const asked = { method: 'POST', token, body: {}, headers: { 'idempotency-key': 'r' } };
  expect((await run.api.ask(`${ONE}/backups`, asked)).status).toBe(403);
  const links = await run.api.ask('/v1/backups/bk_x:download', { method: 'POST', body: {} });
  expect(links.status).toBe(404);
});

it('a clone has what the source had, and its own password', async () => {
  const wish = { sourceId: ID, restoreType: 'pointInTime', restoreTime: iso(at), name: 'twin' };
  const clone = { ...wish, target: { kind: 'local' } };
  const weak = await run.post('/v1/clones', { ...clone, password: 'password' });
  expect(weak.body).toMatchObject({ status: 422, errors: [{ pointer: '/password' }] });
  // What is not started here is taken under protection by an administrator, and by the rule for that.
  const elsewhere = { ...clone, target: { kind: 'address', url: 'redis://127.0.0.1:1' } };
  const restorer = await run.api.tokenOf('cloner', 'restore');
  const headers = { 'idempotency-key': 'elsewhere' };
  const asked = { method: 'POST', body: { ...elsewhere, register: true }, headers };
  expect((await run.api.ask('/v1/clones', { ...asked, token: restorer })).status).toBe(403);
  expect((await run.api.ask('/v1/clones', asked)).body).toMatchObject({
    code: 'TM_TARGET_DENIED',
    detail: expect.stringContaining('under protection by request') as string,
  });
  const password = 'Correct-Horse-7';
  const job = await run.done('/v1/clones', { ...clone, password, sample: 20 });
  expect(job, JSON.stringify(job)).toMatchObject({ kind: 'clone', state: 'succeeded' });
  expect(JSON.stringify(job)).not.toContain(password);
  const { url } = job['result'] as { readonly url: string };
  const { port } = new URL(url);
  const client = new Redis({ host: '127.0.0.1', port: Number(port), password });
  try {
    // It allows no DEBUG, which a comparison of everything takes.
    expect(await client.dbsize()).toBe(81);
    expect(await client.mget('key:1', 'key:2', 'other')).toEqual(['1', '2', null]);
    expect(await client.hgetall('cart:39')).toEqual({ sum: '39' });
  } finally {
    client.disconnect();
  }
});

it('what only an administrator may begin is neither ended nor gone on with by others', async () => {
  const job = await run.done(`${ONE}:purge-expired`, { keysPerSecond: 1_000_000 });
  expect(job).toMatchObject({ kind: 'purge-expired', state: 'succeeded' });
  const token = await run.api.tokenOf('restorer', 'restore');
  const path = `/v1/jobs/${String(job['id'])}`;
  for (const verb of ['cancel', 'resume']) {
    const asked = { method: 'POST', body: {} } as const;
    expect((await run.api.ask(`${path}:${verb}`, { ...asked, token })).status).toBe(403);
    expect((await run.api.ask(`${path}:${verb}`, asked)).status).toBe(409);
  }
});

it('no name, value or password of a request is kept, logged or shown to who reads jobs', async () => {
  const { kinds, kept, shown } = await jobTraces(run);
  expect(kinds).toEqual(
    expect.arrayContaining(['backup', 'restore', 'write-back', 'clone', 'purge-expired']),
  );
  const names = ['cart:1', 'cart:*', 'key:[1', 'Correct-Horse-7'];
  for (const form of ['cart:', 'key:1', 'key:2', 'key:[', ...formsOf(names)]) {
    expect(kept.includes(form), `${form} in control.db`).toBe(false);
    expect(shown.includes(form), `${form} in what is shown`).toBe(false);
  }
});

it('an instance that is released can be seen, and is destroyed only when that is said twice', async () => {
  const released = await run.api.ask(ONE, { method: 'DELETE' });
  expect(released.body, released.text).toMatchObject({ id: ID, state: 'kept', canRebuild: true });
  const bin = await run.api.ask('/v1/recycle-bin');
  expect(bin.body).toMatchObject({ instances: [{ id: ID, daysLeft: 37, source: 'aof' }] });
  const unsure = await run.api.ask(`/v1/recycle-bin/${ID}?confirm=other`, { method: 'DELETE' });
  expect(unsure.body).toMatchObject({ status: 422, errors: [{ pointer: 'query/confirm' }] });
  const other = await run.api.ask('/v1/recycle-bin/nobody?confirm=nobody', { method: 'DELETE' });
  expect(other.status).toBe(404);
});
