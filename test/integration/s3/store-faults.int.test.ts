import { bytesOf, collectBytes, type ByteSource } from '@tidemark/core';
import { collectStray, openStore, type ObjectStore, type S3StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ignoredRange, s3Error, wrongRange, type Fault } from '../../support/fault-proxy-faults.ts';
import { FaultProxy, type RequestMatch } from '../../support/fault-proxy.ts';
import { inChunks, patternBytes } from '../../support/pattern.ts';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';

const MIB = 1024 * 1024;
/** Silence is given up soon, and there are tries enough for a machine that is slow by itself. */
const s3Limits = { answerMs: 1_500, stallMs: 1_500, pauseMs: 10, attempts: 6, partAttempts: 6 };
const PUT: RequestMatch = { method: 'PUT' };
const PART: RequestMatch = { method: 'PUT', path: /partNumber=2/ };
const BEGIN: RequestMatch = { method: 'POST', path: /uploads/ };
const COMPLETE: RequestMatch = { method: 'POST', path: /uploadId=/ };
const GET: RequestMatch = { method: 'GET' };

/** What passes by itself: done or not done, told or not told. */
const WAYS: readonly (readonly [string, Fault])[] = [
  ['500 before', s3Error(500, 'InternalError')],
  ['503 after', s3Error(503, 'SlowDown', { apply: true })],
  ['a reset before', { kind: 'reset', apply: false }],
  ['a reset after', { kind: 'reset', apply: true }],
  ['half a request', { kind: 'half-request' }],
  ['a request sent twice', { kind: 'duplicate' }],
];
const PASSING = [...WAYS, ['silence after', { kind: 'silent', apply: true }] as const];

const read = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 64 * MIB, () => new Error('more than the test wrote'));

describeWithS3('a store behind a bad network', (kind) => {
  let server: S3Server;
  let proxy: FaultProxy;
  let stores = 0;
  beforeAll(async () => {
    server = await S3Server.start({ kind });
    proxy = await FaultProxy.start(server.endpoint);
  }, 120_000);
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const open = (over: Partial<S3StoreSettings> = {}): Promise<ObjectStore> => {
    proxy.rules.length = 0;
    const place = { endpoint: proxy.url, prefix: `faults-${stores++}` };
    return openStore(server.settings({ ...place, ...over }), {
      ...{ random: systemRandom, clock: systemClock, s3Limits },
    });
  };
  const strike = (match: RequestMatch, fault: Fault, times = 1): (() => void) => {
    const rule = { match, fault, times };
    proxy.rules.push(rule);
    return () => expect(proxy.struck(rule)).toBeGreaterThan(0);
  };

  it.each(PASSING)('creates a small object once, over %s', async (_, fault) => {
    const store = await open();
    const struck = strike(PUT, fault);
    const bytes = patternBytes(70_000);
    expect(await store.putIfAbsent('k', bytesOf(bytes))).toBe('created');
    struck();
    expect((await read(store.get('k'))).equals(bytes)).toBe(true);
    expect(await store.putIfAbsent('k', bytesOf(Buffer.from('other')))).toBe('exists');
  });

  it('does not take for its own what another put, when its own answer was lost', async () => {
    const prefix = 'shared';
    const other = await open({ prefix, endpoint: server.endpoint });
    const store = await open({ prefix });
    for (const [key, bytes, match] of [
      ['small', Buffer.from('the same'), PUT],
      ['large', patternBytes(6 * MIB), COMPLETE],
    ] as const) {
      expect(await other.putIfAbsent(key, bytesOf(bytes))).toBe('created');
      strike(match, { kind: 'reset', apply: false });
      expect(await store.putIfAbsent(key, bytesOf(bytes))).toBe('exists');
    }
  });

  it('takes nothing for whole of which the server holds less, when its answer was lost', async () => {
    const store = await open();
    const bytes = patternBytes(70_000);
    const lost = strike(PUT, { kind: 'reset', apply: true });
    const short = strike({ method: 'HEAD' }, { kind: 'short' });
    await expect(store.putIfAbsent('k', bytesOf(bytes))).rejects.toMatchObject({
      code: 'TM_STORE_IO',
      context: { key: 'k', size: 70_000, stored: 0 },
    });
    lost();
    short();
    expect(await store.head('k')).toBeNull();
    expect(await store.putIfAbsent('k', bytesOf(bytes))).toBe('created');
    expect((await read(store.get('k'))).equals(bytes)).toBe(true);
  });

  it('does not call a key taken at which nothing is, and asks for it a few times only', async () => {
    const store = await open();
    const taken = s3Error(412, 'PreconditionFailed');
    const struck = strike(PUT, taken, 2);
    expect(await store.putIfAbsent('k', bytesOf(Buffer.from('x')))).toBe('created');
    struck();
    expect((await read(store.get('k'))).toString()).toBe('x');
    strike(PUT, taken, Infinity);
    proxy.requests.length = 0;
    await expect(store.putIfAbsent('k2', bytesOf(Buffer.from('x')))).rejects.toMatchObject({
      code: 'TM_STORE_IO',
      context: { key: 'k2', status: 412, reason: 'PreconditionFailed' },
    });
    expect(proxy.count(PUT)).toBe(6);
    expect(await store.head('k2')).toBeNull();
  });

  it.each([
    // One server is enough for what comes before the condition.
    ...(kind === 'moto' ? [] : WAYS).flatMap(([name, fault]) => [
      ['a part', name, PART, fault] as const,
      ['the beginning', name, BEGIN, fault] as const,
    ]),
    ...PASSING.map(([name, fault]) => ['the end', name, COMPLETE, fault] as const),
    ['the end', '200 with an error', COMPLETE, s3Error(200, 'InternalError')] as const,
  ])('creates a large object once, where %s runs into %s', async (_step, _name, match, fault) => {
    const store = await open();
    const struck = strike(match, fault);
    const bytes = patternBytes(6 * MIB);
    expect(await store.putIfAbsent('k', inChunks(bytes, 400_000))).toBe('created');
    struck();
    expect((await read(store.get('k'))).equals(bytes)).toBe(true);
  });

  it.each<readonly [string, Fault]>([
    ['a body cut in half', { kind: 'half' }],
    ['a body that is short and says that it is whole', { kind: 'short' }],
    ['a reset', { kind: 'reset', apply: true }],
    ['silence', { kind: 'silent', apply: false }],
    ['503', s3Error(503, 'SlowDown')],
    ['another range', wrongRange()],
    ['a slow body', { kind: 'slow', bytesPerSecond: 30_000 }],
  ])('reads every byte once over %s', async (_, fault) => {
    const store = await open();
    const bytes = patternBytes(300_000);
    await store.putIfAbsent('k', bytesOf(bytes));
    for (const range of [{}, { start: 1_000, end: 299_000 }]) {
      const struck = strike(GET, fault);
      const { start = 0, end = bytes.length } = range;
      expect((await read(store.get('k', range))).equals(bytes.subarray(start, end))).toBe(true);
      struck();
    }
  });

  it('gives up in bounded time, as a passing fault, and nothing is left', async () => {
    const store = await open();
    for (const [match, work] of [
      [PUT, () => store.putIfAbsent('k', bytesOf(Buffer.from('x')))],
      [PART, () => store.putIfAbsent('large', bytesOf(patternBytes(6 * MIB)))],
      [GET, () => store.list('')[Symbol.asyncIterator]().next()],
      [{ method: 'HEAD' }, () => store.head('k')],
      [{ method: 'DELETE' }, () => store.delete('k')],
    ] as const) {
      proxy.rules.length = 0;
      strike(match, s3Error(503, 'SlowDown'), Infinity);
      await expect(work()).rejects.toMatchObject({ code: 'TM_STORE_IO', context: { status: 503 } });
    }
    proxy.rules.length = 0;
    expect(await store.head('large')).toBeNull();
    expect(await collectStray(store, { beforeMs: Date.now() + 60_000 })).toBe(0);
  });

  it('reads to the end of a range from a server that knows none', async () => {
    const store = await open();
    const bytes = patternBytes(100_000);
    await store.putIfAbsent('k', bytesOf(bytes));
    strike(GET, ignoredRange());
    expect((await read(store.get('k', { end: 5 }))).equals(bytes.subarray(0, 5))).toBe(true);
  });
});
