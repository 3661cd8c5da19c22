import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiRun } from '../../support/api-run.ts';
import { startRedis } from '../../support/redis-server.ts';
import { iso, secondOf, Tidemark, type ArchiverProcess } from '../../support/tidemark-cli.ts';

const ID = 'shop';
const ONE = `/v1/instances/${ID}`;

/** What was opened, also when the rest could not be. */
const opened: AsyncDisposable[] = [];
let tidemark: Tidemark;
let archiver: ArchiverProcess;
let api: ApiRun;
let at: number;

beforeAll(async () => {
  tidemark = await Tidemark.init([], '', 'ring');
  opened.unshift(tidemark);
  // Only who asks learns how far an idle node is.
  const config = await readFile(tidemark.config, 'utf8');
  expect(config).toContain('\n[archiver]\n');
  await writeFile(tidemark.config, config.replace('[archiver]', '[archiver]\nheartbeat = "1h"'));
  const source = await startRedis({ config: { 'aof-timestamp-enabled': 'yes' } });
  opened.push(source);
  await tidemark.add(ID, source);
  archiver = await tidemark.serve();
  api = await ApiRun.start({ tidemark });
  opened.unshift(api);
  const redis = await source.connect();
  await redis.set('key', 'value');
  at = Math.floor(Date.now() / 1000);
  await delay(1_100);
  await redis.set('key', 'other');
  await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});

afterAll(async () => {
  for (const part of opened) await part[Symbol.asyncDispose]();
});

it('the windows are those that the command line prints', async () => {
  const printed = await tidemark.windows(ID);
  const { body } = await api.ask(`${ONE}/windows`);
  expect(body?.['earliest']).toBe(printed.earliest);
  expect(secondOf(String(body?.['latest']))).toBeGreaterThanOrEqual(secondOf(printed.latest ?? ''));
  expect(body).toMatchObject({
    instance: ID,
    gaps: [],
    ranges: [{ from: printed.earliest }],
    shards: [{ shard: printed.shards[0]?.shard, holes: [] }],
  });
  expect(Number(body?.['lagSeconds'])).toBeLessThan(3_600);
  const none = await api.ask(`${ONE}/windows?end=2001-01-01T00:00:00Z`);
  expect(none.body).toMatchObject({ ranges: [], backups: [], earliest: printed.earliest });
});

it('the window of an idle node is brought up to now by who looks at it, once for a crowd', async () => {
  const entries = async (): Promise<number> => {
    const [writer] = (await api.control.fresh.of(ID, 0)).writers(ID);
    return writer?.state.seq ?? NaN;
  };
  await delay(1_500);
  const wanted = Math.floor(Date.now() / 1000) - 1;
  await expect
    .poll(async () => secondOf(String((await api.ask(`${ONE}/windows`)).body?.['latest'])), {
      timeout: 30_000,
      interval: 500,
    })
    .toBeGreaterThanOrEqual(wanted);
  const before = await entries();
  const startMs = performance.now();
  await Promise.all(Array.from({ length: 40 }, () => api.ask(`${ONE}/windows`)));
  const most = 4 + Math.ceil((performance.now() - startMs) / 1_000);
  expect((await entries()) - before).toBeLessThanOrEqual(most);
});

it('windows are told in buckets too, as the command line does', async () => {
  const span = { since: iso(at - 90), until: iso(at + 1) };
  const query = `start=${span.since}&end=${span.until}&resolution=second`;
  const { body } = await api.ask(`${ONE}/windows?${query}`);
  const printed = await tidemark.json<{ buckets: readonly object[] }>(
    ...['windows', ID, '--since', span.since, '--until', span.until, '--resolution', 'second'],
  );
  const buckets = body?.['buckets'] as readonly Readonly<Record<string, unknown>>[];
  expect(buckets).toEqual(printed.buckets);
  expect(buckets).toHaveLength(92);
  const earliest = String(body?.['earliest']);
  for (const { from, state } of buckets) {
    expect([from, state]).toEqual([from, String(from) < earliest ? 'none' : 'whole']);
  }
  for (const [wrong, status, pointer] of [
    [`start=${iso(at - 1_000)}&end=${iso(at)}&resolution=second`, 422, 'query/resolution'],
    ['resolution=fortnight', 400, 'query/resolution'],
    [`start=${iso(at)}&end=${iso(at - 1)}`, 422, 'query/end'],
  ] as const) {
    const refused = await api.ask(`${ONE}/windows?${wrong}`);
    expect(refused.body).toMatchObject({ status, errors: [{ pointer }] });
  }
  const days = await api.ask(`${ONE}/windows?resolution=day`);
  expect(days.body?.['buckets']).toContainEqual(expect.objectContaining({ state: 'partly' }));
});

/** What a request for a restore is answered that begins none. */
async function refusedRestore(body: object): Promise<Awaited<ReturnType<ApiRun['ask']>>> {
  const headers = { 'idempotency-key': 'never' };
  return api.ask(`${ONE}/restores`, { method: 'POST', body, headers });
}

it.each([
  [{ kind: 'newer' }, '/target/kind: must be one of original, new, address'],
  [{ kind: 'address' }, '/target/url: is missing'],
  [{ kind: 'new', url: 'redis://h:1' }, '/target/url: is not known'],
  [{}, '/target/kind: is missing'],
  [7, '/target: must be object'],
])('of target %j only what is wrong with the meant kind is told', async (target, told) => {
  const answer = await refusedRestore({ restoreType: 'latest', target });
  const pointer = told.slice(0, told.indexOf(':'));
  const detail = told.slice(told.indexOf(':') + 2);
  expect(answer.body).toMatchObject({ status: 422, detail: told, errors: [{ pointer, detail }] });
});

it('a text that is no time, a second that has not come: the answer says which', async () => {
  const body = { restoreType: 'pointInTime', target: { kind: 'new' } };
  const vague = await refusedRestore({ ...body, restoreTime: 'yesterday 14:00' });
  expect(vague.body).toMatchObject({
    errors: [
      { pointer: '/restoreTime', detail: expect.stringMatching(/^is no time: write /) as unknown },
    ],
  });
  const early = await refusedRestore({ ...body, restoreTime: '2999-01-01T00:00:00Z' });
  expect(early.body).toMatchObject({
    code: 'TM_TIME_NOT_RESTORABLE',
    detail: expect.stringMatching(
      /^2999-01-01T00:00:00Z is not .+the last second so far is 2/,
    ) as unknown,
  });
});

it('windows are told without delay while the archiver hangs, and when it is gone', async () => {
  const { body } = await api.ask(`${ONE}/windows`);
  archiver.child.kill('SIGSTOP');
  await delay(5_100); // so long ago is the last time that it was asked
  const startMs = performance.now();
  const hanging = await api.ask(`${ONE}/windows`);
  // It is asked for 15 s, and waited for 2 s.
  expect(performance.now() - startMs).toBeLessThan(12_000);
  expect(hanging.body).toMatchObject({ earliest: body?.['earliest'], gaps: [] });
  await archiver.kill();
  const gone = await api.ask(`${ONE}/windows`);
  expect(gone.body).toMatchObject({ latest: hanging.body?.['latest'] });
});
