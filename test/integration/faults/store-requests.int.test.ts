import { bytesOf, collectBytes, type ByteSource } from '@tidemark/core';
import { collectStray, openStore, type ObjectInfo, type ObjectStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { s3Error, type Fault } from '../../support/fault-proxy-faults.ts';
import { FaultProxy, type RequestMatch } from '../../support/fault-proxy.ts';
import { patternBytes } from '../../support/pattern.ts';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';

const MIB = 1024 * 1024;
const s3Limits = { answerMs: 1_500, stallMs: 1_500, pauseMs: 10, attempts: 6, partAttempts: 6 };
const KEYS = ['a/1', 'a/2', 'a/3', 'b'];

const HEAD: RequestMatch = { method: 'HEAD' };
const LIST: RequestMatch = { method: 'GET', path: /list-type=2/ };
const DELETE: RequestMatch = { method: 'DELETE' };

/** What passes by itself, for requests without a body. */
const PASSING: readonly (readonly [string, Fault])[] = [
  ['500 before', s3Error(500, 'InternalError')],
  ['500 after', s3Error(500, 'InternalError', { apply: true })],
  ['503 before', s3Error(503, 'SlowDown')],
  ['503 after', s3Error(503, 'SlowDown', { apply: true })],
  ['429', s3Error(429, 'TooManyRequests')],
  ['a reset before', { kind: 'reset', apply: false }],
  ['a reset after', { kind: 'reset', apply: true }],
  ['silence before', { kind: 'silent', apply: false }],
  ['silence after', { kind: 'silent', apply: true }],
  ['a late answer', { kind: 'slow', delayMs: 300 }],
  ['a request sent twice', { kind: 'duplicate' }],
];

const read = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 64 * MIB, () => new Error('more than the test wrote'));

async function listed(store: ObjectStore, prefix = ''): Promise<readonly string[]> {
  const found: ObjectInfo[] = [];
  for await (const batch of store.list(prefix)) found.push(...batch);
  return found.map(({ key }) => key);
}

describeWithS3(
  'requests without a body over a bad network',
  (kind) => {
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

    async function open(): Promise<ObjectStore> {
      proxy.rules.length = 0;
      const settings = server.settings({ endpoint: proxy.url, prefix: `requests-${stores++}` });
      const ports = { random: systemRandom, clock: systemClock, s3Limits };
      const store = await openStore(settings, ports);
      for (const key of KEYS) await store.putIfAbsent(key, bytesOf(Buffer.from(key)));
      return store;
    }
    const strike = (match: RequestMatch, fault: Fault): (() => void) => {
      const rule = { match, fault };
      proxy.rules.push(rule);
      return () => expect(proxy.struck(rule)).toBe(1);
    };

    it.each(PASSING)('tell, list and remove as if nothing had been, over %s', async (_, fault) => {
      const store = await open();
      const struck = [HEAD, LIST, DELETE].map((match) => strike(match, fault));
      expect(await store.head('a/2')).toEqual({ key: 'a/2', size: 3 });
      expect(await listed(store)).toEqual(KEYS);
      await store.delete('a/2');
      for (const check of struck) check();
      expect(await store.head('a/2')).toBeNull();
      expect(await listed(store, 'a/')).toEqual(['a/1', 'a/3']);
    });

    it.each<readonly [string, Fault]>([
      ['is cut in half', { kind: 'half' }],
      ['is short and says that it is whole', { kind: 'short' }],
      ['is an error after all', s3Error(200, 'InternalError')],
      ['comes slowly', { kind: 'slow', bytesPerSecond: 2_000 }],
    ])('list every key although the answer %s', async (_, fault) => {
      const store = await open();
      const struck = strike(LIST, fault);
      expect(await listed(store)).toEqual(KEYS);
      struck();
    });

    it('do not take a refusal to tell for an object that is missing', async () => {
      const store = await open();
      for (const match of [HEAD, LIST, DELETE]) {
        proxy.rules.length = 0;
        proxy.rules.push({ match, fault: s3Error(403, 'AccessDenied'), times: Infinity });
        const work =
          match === LIST ? listed(store) : store[match === HEAD ? 'head' : 'delete']('a/1');
        await expect(work).rejects.toMatchObject({ code: 'TM_STORE_DENIED' });
      }
      proxy.rules.length = 0;
      expect(await listed(store)).toEqual(KEYS);
    });

    it.each<readonly [string, RequestMatch]>([
      ['a part', { method: 'PUT', path: /partNumber=2/ }],
      ['the end', { method: 'POST', path: /uploadId=/ }],
    ])('a large object whose upload expired before %s is whole or not there', async (_, match) => {
      const store = await open();
      const struck = strike(match, s3Error(404, 'NoSuchUpload'));
      const bytes = patternBytes(6 * MIB);
      const put = (): Promise<string> => store.putIfAbsent('large', bytesOf(bytes));
      const first = await put().catch((cause: unknown) => cause);
      struck();
      if (first === 'created') {
        expect((await read(store.get('large'))).equals(bytes)).toBe(true);
        return;
      }
      expect(first).toMatchObject({ code: expect.stringMatching(/^TM_STORE_/) as unknown });
      expect(await store.head('large')).toBeNull();
      expect(await put()).toBe('created');
      expect((await read(store.get('large'))).equals(bytes)).toBe(true);
      await collectStray(store, { beforeMs: Date.now() + 60_000 });
      expect(await collectStray(store, { beforeMs: Date.now() + 60_000 })).toBe(0);
    });
  },
  ['versitygw'],
);
