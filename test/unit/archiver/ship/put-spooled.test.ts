import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SegmentStored } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, sealBytes } from '@tidemark/crypto';
import { openFileStore, type ObjectStore, type PutOptions } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  putSpooled,
  type SpooledEntry,
} from '../../../../services/archiver/src/ship/put-spooled.ts';
import { Spool } from '../../../../services/archiver/src/ship/spool.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const KEY = 'v1/instance/a/0/w/seg/one';
const SEALED = sealBytes(patternBytes(500_000), {
  ...{ kind: OBJECT_KIND.segment, compression: COMPRESSION.none, random: systemRandom },
  dataKey: { id: '0f'.repeat(16), key: patternBytes(32) },
  identity: { iid: 'a', timeline: 't1', start: '0' },
});

let temp: TempDir;
let spool: Spool;
let store: ObjectStore;
beforeEach(async () => {
  temp = await TempDir.create();
  spool = await Spool.open(join(temp.path, 'spool'), 10_000_000);
  store = await openFileStore({ root: join(temp.path, 'store'), random: systemRandom });
  await spool.write('q1', [SEALED.bytes]);
});
afterEach(() => temp[Symbol.asyncDispose]());

const entry = {
  name: 'q1',
  wrapped: null,
  event: {
    type: 'SegmentStored',
    object: { key: KEY, size: SEALED.bytes.length, digest: SEALED.digest, dekId: '', kind: 2 },
  } as unknown as SegmentStored,
} satisfies SpooledEntry;

const put = (into: ObjectStore): Promise<Uint8Array | undefined> =>
  putSpooled(entry, {
    ...{ store: into, spool, clock: steppingClock(0), signal: new AbortController().signal },
    ...{ onRetry: (error: Error) => expect.fail(error.message), onRecovered: () => undefined },
    dataKeys: { store: () => Promise.resolve() },
    append: () => Promise.resolve(),
  });
const stored = async (): Promise<boolean> => (await collect(store.get(KEY))).equals(SEALED.bytes);
const object = () => lstat(join(temp.path, 'store', 'v1/instance/a/0/w/seg/one+obj'));

describe('putSpooled()', () => {
  it('writes nothing a second time where spool and store share a file system', async () => {
    const { ino } = await lstat(spool.fileOf('q1'));
    await put(store);
    expect(await object()).toMatchObject({ ino, nlink: 2 });
    await spool.remove('q1');
    expect(await object()).toMatchObject({ ino, nlink: 1 });
    expect(await stored()).toBe(true);
  });

  it('finds its own bytes there after a crash between put and log, and leaves them when it seals anew', async () => {
    await put(store);
    await put(store);
    await spool.write('q1', [Buffer.from('another try under that name')]);
    expect(await stored()).toBe(true);
  });

  it('reads the bytes for a store that takes no file', async () => {
    const copying: ObjectStore = Object.assign(Object.create(store) as ObjectStore, {
      putIfAbsent: (key: string, body: AsyncIterable<Uint8Array>, { signal }: PutOptions = {}) =>
        store.putIfAbsent(key, body, signal === undefined ? {} : { signal }),
    });
    await put(copying);
    expect((await object()).nlink).toBe(1);
    expect(await stored()).toBe(true);
  });

  it('refuses other bytes that lie at its key, and leaves both as they are', async () => {
    await store.putIfAbsent(KEY, bytesOf(Buffer.from('foreign')));
    const stop = new AbortController();
    const codes: string[] = [];
    const run = putSpooled(entry, {
      ...{ store, spool, clock: steppingClock(0), signal: stop.signal },
      onRetry: ({ code }) => {
        codes.push(code);
        stop.abort(new Error('enough'));
      },
      onRecovered: () => undefined,
      dataKeys: { store: () => Promise.resolve() },
      append: () => Promise.resolve(),
    });
    await expect(run).rejects.toThrow('enough');
    expect(codes).toEqual(['TM_STORE_DIFFERS']);
    expect((await collect(store.get(KEY))).toString()).toBe('foreign');
    expect((await collect(spool.read('q1'))).equals(SEALED.bytes)).toBe(true);
  });
});
