import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AnswerChecker, type FuzzAnswer } from '../../support/api-fuzz/answers.ts';
import { Dice } from '../../support/api-fuzz/dice.ts';
import { operationsOf, type OpenApi, type Placed } from '../../support/api-fuzz/document.ts';
import { RequestMaker, type MadeRequest } from '../../support/api-fuzz/requests.ts';
import { ApiRun } from '../../support/api-run.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { Tidemark } from '../../support/tidemark-cli.ts';

const SEED = Number(process.env['TIDEMARK_SEED'] ?? '20261122');
const REQUESTS = Number(process.env['TIDEMARK_FUZZ'] ?? '5000');
/** Asked at the same time. */
const LINES = 8;
/** Nothing may take as long as this, however slow the machine. */
const HANG_MS = 120_000;
const FAULTS_MAX = 20;
const SCOPES = ['read', 'backup', 'restore', 'admin', 'key:read'];

let tidemark: Tidemark;
let run: ApiRun;
let targets: readonly RedisServer[];
const opened: AsyncDisposable[] = [];

beforeAll(async () => {
  const servers = await Promise.all([startRedis(), startRedis(), startRedis()]);
  opened.push(...servers);
  const [source, ...rest] = servers;
  targets = rest;
  const allowed = targets.map(({ port }) => `"127.0.0.1:${port}"`).join(', ');
  tidemark = await Tidemark.init([], `\n[restorer]\nallow_targets = [${allowed}]\n`, 'ring');
  opened.push(tidemark);
  await tidemark.addByReplication('orders', source);
  await tidemark.addByReplication('empty', source);
  await (await source.connect()).mset('cart:1', 'a', 'cart:2', 'b');
  const archiver = await tidemark.serve();
  await tidemark.json('backup', 'create', 'orders', '--wait');
  await archiver.stop();
  const limits = {
    ...{ requestsPerMinute: 1_000_000, refusalsPerMinute: 1_000_000 },
    eventLoopMs: 60_000,
  };
  run = await ApiRun.start({ tidemark, limits });
  opened.push(run);
});
afterAll(async () => {
  for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
});

// Before the generated requests: those may delete the backup that is restored here.
it('of 100 restores that are asked for at once each is answered, and what was taken on is done', async () => {
  const stop = new AbortController();
  const working = run.control.run(stop.signal, { workers: true, scheduler: false });
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const { port } = targets[i % targets.length]!;
      const target = { kind: 'address', url: `redis://127.0.0.1:${port}` };
      const answer = await run.ask('/v1/instances/orders/restores', {
        ...{ method: 'POST', body: { restoreType: 'latest', target } },
        // Some are sent twice, as a caller does that heard nothing.
        headers: { 'idempotency-key': `restore-${i % 80}` },
      });
      return answer;
    }),
  );
  const count = (status: number): number => answers.filter((each) => each.status === status).length;
  expect(count(202) + count(409) + count(429)).toBe(100);
  const ids = new Set(
    answers.flatMap(({ status, body }) => (status === 202 ? [body?.['id']] : [])),
  );
  expect(ids.size).toBeGreaterThanOrEqual(1);
  const listed = async (): Promise<readonly { readonly id: string; readonly state: string }[]> =>
    (await run.ask('/v1/jobs?kind=restore')).body?.['jobs'] as [];
  expect(new Set((await listed()).map(({ id }) => id))).toEqual(ids);
  for (;;) {
    const states = (await listed()).map(({ state }) => state);
    if (states.every((state) => !['queued', 'running', 'cancelling'].includes(state))) {
      // One target may be given to a second job as soon as the first one ended: it holds data then.
      expect(states).toContain('succeeded');
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const held = await Promise.all(
    targets.map(async (target) => (await target.connect()).get('cart:2')),
  );
  expect(held).toContain('b');
  stop.abort(new Error('the test is over'));
  await working.catch(() => undefined);
});

it(`whatever is asked, nothing fails, hangs, or is answered otherwise than documented (TIDEMARK_SEED=${SEED})`, async () => {
  const document = JSON.parse((await run.ask('/openapi.json')).text) as OpenApi;
  const dice = new Dice(SEED);
  const maker = new RequestMaker(dice, operationsOf(document), await callers(), await hints());
  const checker = new AnswerChecker(document);
  const agent = new Agent({ keepAlive: true, maxSockets: LINES });
  const succeeded = new Set<string>();
  const faults = new Map<string, string>();
  const byStatus = new Map<number, number>();
  let [asked, slowestMs] = [0, 0];
  const line = async (): Promise<void> => {
    while (asked < REQUESTS) {
      asked += 1;
      const number = asked;
      const made = maker.next();
      const begunMs = performance.now();
      const answer = await send(made, agent);
      slowestMs = Math.max(slowestMs, performance.now() - begunMs);
      byStatus.set(answer.status, (byStatus.get(answer.status) ?? 0) + 1);
      const place = placeOf(document, made);
      const fault =
        checker.faultOf(place ?? made.placed, place !== null, answer) ??
        wronglyDone(made, place, answer);
      if (fault !== null) {
        const kind = `${made.placed.operation.operationId} ${fault.slice(0, 60)}`;
        const shown = `request ${number}: ${fault}\n${told(made)}\n${answer.text.slice(0, 500)}`;
        if (!faults.has(kind) && faults.size < FAULTS_MAX) faults.set(kind, shown);
      }
      if (answer.status < 300 && place !== null) {
        succeeded.add(place.operation.operationId ?? '');
        remember(maker, answer);
      }
    }
  };
  await Promise.all(Array.from({ length: LINES }, line));
  agent.destroy();
  console.log(
    `fuzz: ${asked} requests, slowest ${Math.round(slowestMs)} ms, answers ${JSON.stringify(Object.fromEntries([...byStatus].sort()))}, operations with a success: ${succeeded.size} of ${operationsOf(document).length}`,
  );
  expect([...faults.values()].join('\n\n')).toBe('');
  // It went further than the first check of each route.
  expect(succeeded.size).toBeGreaterThan(15);
  expect((await run.ask('/healthz')).status).toBe(200);
}, 400_000);

async function callers(): Promise<ConstructorParameters<typeof RequestMaker>[2]> {
  const narrow: Record<string, string> = {};
  for (const scope of SCOPES)
    narrow[scope] = await run.tokenOf(`only-${scope.replace(':', '-')}`, scope);
  const expired = await run.tokenOf('expired', SCOPES.join(','), Date.now() - 60_000);
  return { all: run.token, narrow, refused: [expired, 'x', 'x'.repeat(4000), `${run.token}A`] };
}

async function hints(): Promise<Record<string, unknown[]>> {
  const backups = await run.ask('/v1/instances/orders/backups');
  const ids = (backups.body?.['backups'] as { readonly id: string }[]).map(({ id }) => id);
  const windows = await run.ask('/v1/instances/orders/windows');
  const { earliest, latest } = windows.body as {
    readonly earliest: string;
    readonly latest: string;
  };
  const times = [earliest, latest, latest, '2020-01-01T00:00:00Z', '2026-11-22T09:00:00+08:00'];
  const instances = ['orders', 'orders', 'orders', 'empty', 'nobody'];
  const keys = ['cart:1', 'cart:2', 'none'];
  return {
    ...{ instance: instances, instanceId: instances, sourceId: instances },
    ...{ backup: [...ids, 'bk-none'], backupId: [...ids, 'bk-none'], job: ['job-none'] },
    ...{ restoreTime: times, at: times, start: times, end: times },
    ...bodies(latest, ids[0]),
    // Others are asked about to the end.
    ...{ 'instance of releaseInstance': ['empty', 'nobody'] },
    key: keys.map((key) => Buffer.from(key).toString('base64url')),
    ...{ 'filterKeys[]': keys, 'filterRegexes[]': ['cart:.*', '('], 'filterGlobs[]': ['cart:*'] },
    ...{ confirm: ['orders', 'empty'], restoreType: ['pointInTime', 'latest', 'backup', 'offset'] },
    url: [
      `redis://127.0.0.1:${targets[0]?.port}`,
      'redis://127.0.0.1:1',
      'redis://169.254.169.254:80',
      'rediss://localhost:6379',
    ],
    ...{ timeZone: ['UTC', 'Asia/Shanghai', 'Mars/Base'], days: [['mon'], ['sun', 'mon']] },
    ...{
      hours: [['03:00'], ['03:00Z-04:00Z']],
      'If-Match': ['*', '"x"'],
      'last-event-id': ['0', '3'],
    },
  };
}

/** Bodies that are right as they are, so that those which are nearly right go far. */
function bodies(restoreTime: string, backupId: string | undefined): Record<string, unknown[]> {
  const address = {
    kind: 'address',
    url: `redis://127.0.0.1:${targets[0]?.port}`,
    allowFlush: true,
  };
  const point = { restoreType: 'pointInTime', restoreTime };
  const original = { ...point, filterKeys: ['cart:1'], target: { kind: 'original' } };
  const restores: object[] = [
    { ...point, target: address },
    { restoreType: 'backup', backupId, target: address, ttl: { mode: 'keep' } },
    { restoreType: 'latest', target: { kind: 'new' }, verify: 'full' },
  ];
  return {
    'body of planRestore': [...restores, original].map((each) => ({
      ...each,
      instanceId: 'orders',
    })),
    'body of createRestore': [...restores, { ...original, confirm: 'orders' }],
    'body of diffKeys': [{ from: point, to: { restoreType: 'latest' }, filterGlobs: ['cart:*'] }],
    'body of putBackupPolicy': [
      { preferredBackupPeriod: ['mon'], preferredBackupTime: ['03:00'], timeZone: 'Europe/Berlin' },
    ],
    'body of createClone': [{ ...point, sourceId: 'orders', name: 'copy', target: address }],
  };
}

/** Ids of what was made are asked for later. */
function remember(maker: RequestMaker, { status, text }: FuzzAnswer): void {
  if (status !== 202) return;
  const { id } = JSON.parse(text) as { readonly id?: string };
  if (id !== undefined && (maker.hints['job']?.length ?? 0) < 50) maker.hints['job']?.push(id);
}

/** What was asked in truth, where another method was taken; null: nothing that there is. */
function placeOf({ paths }: OpenApi, { placed, method }: MadeRequest): Placed | null {
  const operation = paths[placed.path]?.[method.toLowerCase()];
  return operation === undefined
    ? null
    : { path: placed.path, method: method.toLowerCase(), operation };
}

/** Nothing is done for who may not, or on a word that cannot be read. */
function wronglyDone(
  { hopeless, placed }: MadeRequest,
  place: Placed | null,
  { status }: FuzzAnswer,
): string | null {
  const asMeant = place?.operation === placed.operation;
  return hopeless !== null && asMeant && status < 400
    ? `status ${status} in spite of ${hopeless}`
    : null;
}

function send({ method, path, headers, body }: MadeRequest, agent: Agent): Promise<FuzzAnswer> {
  const { hostname, port } = new URL(run.url);
  return new Promise((resolve, reject) => {
    const length = body === null ? {} : { 'content-length': Buffer.byteLength(body).toString() };
    const asked = request({
      hostname,
      port,
      method,
      path,
      agent,
      headers: { ...headers, ...length },
    });
    const hang = setTimeout(
      () => asked.destroy(new Error(`no answer in ${HANG_MS} ms: ${method} ${path}`)),
      HANG_MS,
    );
    asked.on('error', (error) => {
      clearTimeout(hang);
      reject(error);
    });
    asked.on('response', (response) => {
      const contentType = response.headers['content-type'] ?? '';
      let text = '';
      const end = (): void => {
        clearTimeout(hang);
        resolve({ status: response.statusCode ?? 0, contentType, text });
      };
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        // A stream goes on as long as its job does.
        if (contentType.startsWith('text/event-stream')) {
          end();
          response.destroy();
        }
      });
      response.on('end', end);
      response.on('error', reject);
    });
    asked.end(body ?? undefined);
  });
}

function told({ method, path, headers, body }: MadeRequest): string {
  const shown = {
    ...headers,
    ...(headers['authorization'] === undefined ? {} : { authorization: '…' }),
  };
  return `${method} ${path.slice(0, 300)} ${JSON.stringify(shown).slice(0, 600)}\n${(body ?? '').slice(0, 800)}`;
}
