import { bytesOf, collectBytes } from '@tidemark/core';
import { openStore, type ObjectStore, type S3StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { s3Error } from '../../support/fault-proxy-faults.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';

const s3Limits = { pauseMs: 10, attempts: 3 };
const ports = { random: systemRandom, clock: systemClock, s3Limits };
const body = (): AsyncIterable<Uint8Array> => bytesOf(Buffer.from('x'));

/** Every operation of a store, on one key. */
const OPERATIONS: readonly (readonly [string, (store: ObjectStore) => Promise<unknown>])[] = [
  ['put', (store) => store.putIfAbsent('k', body())],
  ['get', (store) => collectBytes(store.get('k'), 100, () => new Error('too long'))],
  ['head', (store) => store.head('k')],
  ['list', (store) => store.list('')[Symbol.asyncIterator]().next()],
  ['delete', (store) => store.delete('k')],
];

/** moto checks no signatures: it takes everybody, in every region, at any time. */
describeWithS3(
  'a store that cannot be used says why',
  (kind) => {
    let server: S3Server;
    beforeAll(async () => {
      server = await S3Server.start({ kind });
    }, 120_000);
    afterAll(() => server[Symbol.asyncDispose]());

    const open = (over: Partial<S3StoreSettings> = {}): Promise<ObjectStore> =>
      openStore(server.settings(over), ports);

    describe.each(OPERATIONS)('on %s', (_, work) => {
      it('the bucket', async () => {
        await expect(work(await open({ bucket: 'not-there' }))).rejects.toMatchObject({
          code: 'TM_STORE_URL',
          message: 'there is no such bucket',
          context: { bucket: 'not-there' },
        });
      });

      it('the region', async () => {
        await expect(work(await open({ region: 'eu-west-1' }))).rejects.toMatchObject({
          code: 'TM_STORE_URL',
          message: 'the bucket is in us-east-1',
        });
      });

      it('the identity, whether it is unknown or its secret is wrong', async () => {
        for (const [name, value] of [
          ['AWS_SECRET_ACCESS_KEY', 'wrong'],
          ['AWS_ACCESS_KEY_ID', 'NOBODY'],
        ] as const) {
          vi.stubEnv(name, value);
          const store = await open();
          const failed = await work(store).then(
            () => null,
            (cause: unknown) => cause,
          );
          vi.unstubAllEnvs();
          expect(failed).toMatchObject({ code: 'TM_STORE_DENIED' });
          expect(JSON.stringify(failed)).not.toContain(value === 'wrong' ? 'wrong' : 'secret');
        }
      });

      it('that there is no identity at all', async () => {
        for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'])
          vi.stubEnv(name, undefined);
        const failing = expect(work(await open())).rejects.toMatchObject({
          code: 'TM_STORE_DENIED',
          context: { reason: 'CredentialsProviderError' },
        });
        await failing.finally(() => vi.unstubAllEnvs());
      });

      it('the endpoint', async () => {
        const unused = await open({ endpoint: 'http://127.0.0.1:9' });
        await expect(work(unused)).rejects.toMatchObject({
          code: 'TM_STORE_IO',
          context: { status: 0 },
          hint: 'check store.endpoint and the network',
        });
      });
    });

    it('the right that is missing, of the policy and as the server names it', async () => {
      await using proxy = await FaultProxy.start(server.endpoint);
      const store = await open({ endpoint: proxy.url });
      proxy.rules.push({ match: {}, fault: s3Error(403, 'AccessDenied'), times: Infinity });
      const rights = ['s3:PutObject', 's3:GetObject', 's3:GetObject', 's3:ListBucket'];
      for (const [at, right] of [...rights, 's3:DeleteObject'].entries()) {
        await expect(OPERATIONS[at]?.[1](store)).rejects.toMatchObject({
          code: 'TM_STORE_DENIED',
          hint: expect.stringContaining(`needs ${right}`) as unknown,
          context: { action: right },
        });
      }
      const message =
        'User: arn:aws:iam::1:user/a is not authorized to perform: kms:GenerateDataKey on';
      proxy.rules[0] = { match: {}, fault: s3Error(403, 'AccessDenied', { message }), times: 1 };
      await expect(store.putIfAbsent('k', body())).rejects.toMatchObject({
        code: 'TM_STORE_DENIED',
        hint: expect.stringContaining('needs kms:GenerateDataKey') as unknown,
      });
    });

    it('nothing where the clock of this machine is hours off: the time of the store is taken', async () => {
      const hours = 2 * 3_600_000;
      for (const off of [hours, -hours]) {
        vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + off });
        const work = (async () => {
          const store = await open({ prefix: `clock${off}` });
          return [await store.putIfAbsent('k', body()), (await store.head('k'))?.size];
        })();
        expect(await work.finally(() => vi.useRealTimers())).toEqual(['created', 1]);
      }
    });

    it('the clock, where taking the time of the store does not help', async () => {
      await using proxy = await FaultProxy.start(server.endpoint);
      const store = await open({ endpoint: proxy.url });
      const fault = s3Error(403, 'RequestTimeTooSkewed');
      proxy.rules.push({ match: {}, fault, times: Infinity });
      await expect(store.putIfAbsent('k', body())).rejects.toMatchObject({
        code: 'TM_STORE_CLOCK',
      });
    });

    it('room, and what is not to be tried again', async () => {
      await using proxy = await FaultProxy.start(server.endpoint);
      const store = await open({ endpoint: proxy.url });
      for (const [status, name, code] of [
        [507, 'InsufficientStorage', 'TM_STORE_FULL'],
        [403, 'QuotaExceeded', 'TM_STORE_FULL'],
        [400, 'InvalidArgument', 'TM_STORE_REFUSED'],
        [501, 'NotImplemented', 'TM_STORE_URL'],
      ] as const) {
        proxy.rules[0] = { match: {}, fault: s3Error(status, name), times: Infinity };
        proxy.requests.length = 0;
        await expect(store.putIfAbsent('k', body())).rejects.toMatchObject({ code });
        expect(proxy.requests).toHaveLength(1);
      }
    });
  },
  ['versitygw'],
);

describe('an endpoint', () => {
  it.each([
    'http://s3.example.com',
    'https://user:secret@s3.example.com',
    'ftp://s3.example.com',
    's3.example.com',
  ])('is refused before anything is sent: %s', async (endpoint) => {
    const settings: S3StoreSettings = {
      ...{ kind: 's3', bucket: 'b', prefix: '', region: 'us-east-1', endpoint },
      ...{ forcePathStyle: true, storageClass: null, objectLockDays: 0 },
      ...{ partSize: 5 * 1024 * 1024, concurrency: 1, checksum: 'when_required' },
    };
    const failed: unknown = await openStore(settings, ports).then(
      () => null,
      (cause: unknown) => cause,
    );
    expect(failed).toMatchObject({ code: 'TM_STORE_URL' });
    expect(String(failed)).not.toContain('secret');
  });
});
