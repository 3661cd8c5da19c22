import { createHash } from 'node:crypto';
import { bytesOf } from '@tidemark/core';
import {
  collectStray,
  eraseObject,
  openFileStore,
  openStore,
  presignGet,
  probeStore,
  refusalOf,
  storeTime,
  versionsOf,
  type ObjectStore,
  type S3StoreSettings,
  type StoreCapabilities,
} from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ignoredVersions, s3Error, type Fault } from '../../support/fault-proxy-faults.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { patternBytes } from '../../support/pattern.ts';
import { describeWithS3, S3Server, type S3Kind } from '../../support/s3-servers.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ports = { random: systemRandom, clock: systemClock };
const found = new Map<string, StoreCapabilities>();

/** What each server was found to do when this was written: docs/s3.md has the same table. */
const EXPECTED: Readonly<Record<S3Kind, Partial<StoreCapabilities>>> = {
  versitygw: {
    ...{ conditionalCreate: true, multipartConditional: 'holds', ranges: true },
    ...{ listingOrdered: true, objectLock: false },
  },
  // One request at a time: see moto-server.py.
  moto: {
    ...{ conditionalCreate: true, multipartConditional: 'holds', ranges: true },
    ...{ listingOrdered: true, objectLock: false },
  },
};

afterAll(() => {
  const names = [...found.keys()];
  const rows = [
    ['', ...names],
    ...Object.keys(found.get('file system') ?? {}).map((capability) => [
      capability,
      ...names.map((name) => {
        const value = found.get(name)?.[capability as keyof StoreCapabilities];
        return Array.isArray(value) ? value.length.toString() : String(value);
      }),
    ]),
  ];
  console.log(rows.map((row) => row.map((cell) => cell.padEnd(22)).join('')).join('\n'));
});

it('the file system does what a store must do', async () => {
  await using dir = await TempDir.create();
  const store = await openFileStore({ root: dir.path, random: systemRandom });
  const capabilities = await probeStore(store, ports);
  found.set('file system', capabilities);
  expect(refusalOf(capabilities)).toBeNull();
  for await (const batch of store.list('')) expect(batch).toEqual([]);
});

describeWithS3('a bucket', (kind) => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start({ kind });
  }, 120_000);
  afterAll(() => server[Symbol.asyncDispose]());

  const open = (over: Partial<S3StoreSettings> = {}): Promise<ObjectStore> =>
    openStore(server.settings(over), ports);
  const namesIn = async (prefix: string): Promise<string[]> => {
    const { body } = await server.request({
      ...{ method: 'GET', path: `/${server.bucket}`, query: { 'list-type': '2', prefix } },
    });
    return [...body.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, name = '']) => name);
  };

  it('does what a store must do, and the probe leaves nothing behind', async () => {
    const capabilities = await probeStore(await open({ prefix: 'probed' }), ports);
    found.set(kind, capabilities);
    expect(refusalOf(capabilities)).toBeNull();
    expect(capabilities).toMatchObject(EXPECTED[kind]);
    expect(await namesIn('probed')).toEqual([]);
  });

  it('tells its own time, which a folder does not have', async () => {
    const beforeMs = systemClock.nowMs();
    const toldMs = (await storeTime(await open({ prefix: 'time' }))) ?? 0;
    // To the second, and cut off.
    expect(toldMs).toBeGreaterThan(beforeMs - 2_000);
    expect(toldMs).toBeLessThanOrEqual(systemClock.nowMs());
    await expect(storeTime(await open({ bucket: 'nobody-has-it' }))).rejects.toMatchObject({
      code: expect.stringMatching(/^TM_STORE_/) as string,
    });
    await using dir = await TempDir.create();
    expect(
      await storeTime(await openFileStore({ root: dir.path, random: systemRandom })),
    ).toBeNull();
  });

  it('holds each object under its prefix and key, and leaves what is not its own alone', async () => {
    const store = await open({ prefix: 'a/b' });
    await store.putIfAbsent('v1/x', bytesOf(Buffer.from('x')));
    for (const name of ['a/b/v1/x', 'a/b/v1/Odd!', 'a/bc/v1/y!', 'a/b/']) {
      const path = `/${server.bucket}/${name}`;
      expect((await server.request({ method: 'PUT', path, body: '' })).status).toBe(200);
    }
    expect(await namesIn('a/b/v1/x')).toContain('a/b/v1/x!');
    const keys: string[] = [];
    for await (const batch of store.list('')) keys.push(...batch.map(({ key }) => key));
    expect(keys).toEqual(['v1/x']);
  });

  it('collects uploads in parts that nobody will complete, and none that are too young', async () => {
    const store = await open({ prefix: 'strays' });
    for (const prefix of ['strays', 'others']) {
      const path = `/${server.bucket}/${prefix}/k!`;
      const begun = await server.request({ method: 'POST', path, query: { uploads: '' } });
      expect(begun.status).toBe(200);
    }
    // moto says of every upload that it was begun in 2010.
    if (kind !== 'moto') {
      expect(await collectStray(store, { beforeMs: systemClock.nowMs() - 3_600_000 })).toBe(0);
    }
    const soon = systemClock.nowMs() + 3_600_000;
    expect(await collectStray(store, { beforeMs: soon })).toBe(1);
    expect(await collectStray(store, { beforeMs: soon })).toBe(0);
    expect(await collectStray(await open({ prefix: 'others' }), { beforeMs: soon })).toBe(1);
  });

  it('gives a link that ends, and nothing for a life it cannot have', async () => {
    const store = await open({ prefix: 'links' });
    const bytes = patternBytes(10_000);
    await store.putIfAbsent('k', bytesOf(bytes));
    const link = (await presignGet(store, 'k', 60)) ?? '';
    const answer = await fetch(link);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    expect(new URL(link).searchParams.get('X-Amz-Expires')).toBe('60');
    for (const seconds of [0, -1, 1.5, 8 * 24 * 3600]) {
      await expect(presignGet(store, 'k', seconds)).rejects.toMatchObject({ code: 'TM_USAGE' });
    }
  });

  it('erases an object with what is kept of it', async () => {
    const store = await open({ prefix: 'erased' });
    await store.putIfAbsent('k', bytesOf(Buffer.from('x')));
    await store.putIfAbsent('k2', bytesOf(Buffer.from('y')));
    expect(versionsOf(store)).not.toBeNull();
    expect(await eraseObject(store, 'k')).toBeGreaterThan(0);
    expect(await store.head('k')).toBeNull();
    expect(await eraseObject(store, 'k')).toBe(0);
    expect(await store.head('k2')).toEqual({ key: 'k2', size: 1 });
  });

  it.each<[string, Fault]>([
    ['answers with an ordinary listing', ignoredVersions()],
    ['says that it does not know them', s3Error(501, 'NotImplemented')],
  ])('erases an object when the server, asked for versions, %s', async (_, fault) => {
    await using proxy = await FaultProxy.start(server.endpoint);
    proxy.rules.push({ match: { method: 'GET', path: /[?&]versions/ }, fault, times: Infinity });
    const store = await open({ prefix: 'plain', endpoint: proxy.url });
    await store.putIfAbsent('k', bytesOf(Buffer.from('x')));
    expect(await eraseObject(store, 'k')).toBe(1);
    expect(proxy.count({ path: /[?&]versions/ })).toBeGreaterThan(0);
    expect(await (await open({ prefix: 'plain' })).head('k')).toBeNull();
  });

  it('locks data, and data alone, for the days that are set', async () => {
    const bucket = 'tidemark-locked';
    await server.createBucket(bucket, { objectLock: true });
    const store = await open({ bucket, objectLockDays: 2 });
    expect(await probeStore(store, ports)).toMatchObject({ objectLock: true });
    const data = 'v1/instance/i/seg/x';
    for (const key of [data, 'v1/keys/i/x', 'v1/lease/x']) {
      await store.putIfAbsent(key, bytesOf(Buffer.from(key)));
    }
    const large = patternBytes(5 * 1024 * 1024 + 1);
    await store.putIfAbsent('v1/instance/i/seg/large', bytesOf(large));
    for (const key of ['v1/keys/i/x', 'v1/lease/x']) {
      await store.delete(key);
      expect(await store.head(key)).toBeNull();
    }
    for (const key of [data, 'v1/instance/i/seg/large']) {
      const lock = await versionsOf(store)?.lockOf({ key, versionId: 'null', isMarker: false });
      // moto gives versions ids of their own: there the lock is asked for by them, below.
      if (kind !== 'moto') {
        expect(lock?.untilMs).toBeGreaterThan(systemClock.nowMs() + 47 * 3_600_000);
        await expect(store.delete(key)).rejects.toMatchObject({
          code: 'TM_STORE_LOCKED',
          context: { key },
        });
      }
    }
    const versions = [];
    for await (const batch of versionsOf(store)?.list(data) ?? []) versions.push(...batch);
    expect(versions).toMatchObject([{ key: data, isMarker: false }]);
    for (const version of versions) {
      expect((await versionsOf(store)?.lockOf(version))?.untilMs).toBeGreaterThan(0);
    }
  });
});

describeWithS3(
  'a bucket with rules of its own',
  (kind) => {
    it('is warned of where it would delete what the store holds, and only then', async () => {
      await using server = await S3Server.start({ kind });
      const rule = (id: string, prefix: string, what: string): string =>
        `<Rule><ID>${id}</ID><Status>Enabled</Status><Filter><Prefix>${prefix}</Prefix></Filter>${what}</Rule>`;
      const expiry = '<Expiration><Days>30</Days></Expiration>';
      const cold = '<Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>';
      const body = `<LifecycleConfiguration>${[
        rule('theirs', 'logs/', expiry),
        rule('all', '', expiry),
        rule('cold', 'mine/v1/instance/', cold),
      ].join('')}</LifecycleConfiguration>`;
      const md5 = createHash('md5').update(body).digest('base64');
      const set = await server.request({
        ...{ method: 'PUT', path: `/${server.bucket}`, query: { lifecycle: '' }, body },
        headers: { 'content-md5': md5 },
      });
      expect(set.status, set.body).toBe(200);
      const store = await openStore(server.settings({ prefix: 'mine' }), ports);
      expect((await probeStore(store, ports)).warnings).toEqual([
        'lifecycle rule "all" deletes objects of the store after 30 days: history would be lost',
        'lifecycle rule "cold" moves objects to GLACIER: restores could not read them',
      ]);
    });

    it('keeps the class of storage that was asked for', async () => {
      await using server = await S3Server.start({ kind });
      const store = await openStore(server.settings({ storageClass: 'STANDARD_IA' }), ports);
      for (const [key, bytes] of [
        ['small', Buffer.from('x')],
        ['large', patternBytes(6 * 1024 * 1024)],
      ] as const) {
        await store.putIfAbsent(key, bytesOf(bytes));
        const path = `/${server.bucket}/${key}!`;
        const { headers } = await server.request({ method: 'HEAD', path });
        expect(headers.get('x-amz-storage-class')).toBe('STANDARD_IA');
      }
    });

    it('is refused where two puts both win', async () => {
      await using server = await S3Server.start({ kind });
      // moto checks no signatures, so a condition can be lost on the way: an old server knows none.
      await using proxy = await FaultProxy.start(server.endpoint);
      proxy.dropHeader = 'if-none-match';
      const store = await openStore(server.settings({ endpoint: proxy.url }), ports);
      const capabilities = await probeStore(store, ports);
      expect(capabilities).toMatchObject({
        conditionalCreate: false,
        multipartConditional: 'none',
      });
      expect(refusalOf(capabilities)).toMatchObject({ code: 'TM_STORE_FENCING', exitCode: 2 });
    });
  },
  ['moto'],
);
