import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf, collectBytes, type ByteSource } from '@tidemark/core';
import type { ObjectInfo, ObjectStore } from '@tidemark/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inChunks, patternBytes } from '../support/pattern.ts';
import { TempDir } from '../support/temp-dir.ts';
import { spawnTypeScript } from '../support/ts-child.ts';
import type { StoreChildSpec } from './store-child.ts';

/** A fresh, empty store for one test. */
export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** How another process opens the same store. */
  readonly child: StoreChildSpec;
  dispose(): Promise<void>;
}

const MIB = 1024 * 1024;

const read = (source: ByteSource): Promise<Buffer> =>
  collectBytes(source, 64 * MIB, () => new Error('more than the test wrote'));

async function listAll(store: ObjectStore, prefix: string, after?: string): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const batch of store.list(prefix, after === undefined ? {} : { after })) {
    expect(batch.length).toBeGreaterThan(0);
    expect(batch.length).toBeLessThanOrEqual(1000);
    found.push(...batch);
  }
  return found;
}

const keysOf = (infos: readonly ObjectInfo[]): string[] => infos.map(({ key }) => key);

/**
 * Checks that an adapter holds to the laws of `ObjectStore`.
 * @param listedCount - Objects of the long listing: more than a batch or a page.
 */
export function describeObjectStore(
  name: string,
  open: () => Promise<StoreUnderTest>,
  listedCount = 3_000,
): void {
  describe(`${name} as an object store`, () => {
    let subject: StoreUnderTest;
    beforeEach(async () => {
      subject = await open();
    });
    afterEach(() => subject.dispose());

    describePutAndGet(() => subject);
    describeRefusals(() => subject);
    describeFailedPuts(() => subject);
    describeListing(() => subject, listedCount);
  });
}

function describePutAndGet(subject: () => StoreUnderTest): void {
  it.each([0, 1, 255, 65_536, 8 * MIB + 1])(
    'gives back %i bytes of a body of unknown length as they were',
    async (length) => {
      const { store } = subject();
      const bytes = patternBytes(length);
      expect(await store.putIfAbsent('a/b', inChunks(bytes, 60_000))).toBe('created');
      expect((await read(store.get('a/b'))).equals(bytes)).toBe(true);
      expect(await store.head('a/b')).toEqual({ key: 'a/b', size: length });
    },
  );

  it('takes the bytes of a file that is named beside the body, and keeps them when its name goes', async () => {
    const { store } = subject();
    await using temp = await TempDir.create();
    const file = join(temp.path, 'ready');
    const bytes = patternBytes(MIB + 7);
    await writeFile(file, bytes, { mode: 0o600 });
    expect(await store.putIfAbsent('a', bytesOf(bytes), { file })).toBe('created');
    expect(await store.putIfAbsent('a', bytesOf(Buffer.from('other')), { file })).toBe('exists');
    expect(await store.putIfAbsent('b', bytesOf(bytes), { file })).toBe('created');
    await rm(file);
    for (const key of ['a', 'b']) {
      expect((await read(store.get(key))).equals(bytes)).toBe(true);
      expect(await store.head(key)).toEqual({ key, size: bytes.length });
    }
    await store.delete('a');
    expect((await read(store.get('b'))).equals(bytes)).toBe(true);
  });

  it('yields chunks above zero and at most 1 MiB that the consumer may overwrite', async () => {
    const { store } = subject();
    const bytes = patternBytes(3 * MIB);
    await store.putIfAbsent('a', bytesOf(bytes));
    let at = 0;
    for await (const chunk of store.get('a')) {
      expect(chunk.length).toBeGreaterThan(0);
      expect(chunk.length).toBeLessThanOrEqual(MIB);
      expect(Buffer.compare(chunk, bytes.subarray(at, at + chunk.length))).toBe(0);
      at += chunk.length;
      chunk.fill(0);
    }
    expect(at).toBe(bytes.length);
  });

  it('reads any range, its end exclusive', async () => {
    const { store } = subject();
    const bytes = patternBytes(2 * MIB + 7);
    await store.putIfAbsent('r', bytesOf(bytes));
    const size = bytes.length;
    for (const [start, end] of [
      [0, 0],
      [0, 1],
      [5, 5],
      [size, size],
      [size - 1, size],
      [511 * 1024, 513 * 1024],
      [3, size - 3],
      [0, size],
    ] as const) {
      expect(Buffer.compare(await read(store.get('r', { start, end })), bytes.subarray(start, end))) //
        .toBe(0);
    }
    expect(await read(store.get('r', { start: size - 4 }))).toEqual(bytes.subarray(size - 4));
    expect(await read(store.get('r', { end: 4 }))).toEqual(bytes.subarray(0, 4));
  });

  it('leaves what lies under a key as it is and says that it exists', async () => {
    const { store } = subject();
    expect(await store.putIfAbsent('k', bytesOf(Buffer.from('first')))).toBe('created');
    expect(await store.putIfAbsent('k', bytesOf(Buffer.from('second')))).toBe('exists');
    expect((await read(store.get('k'))).toString()).toBe('first');
  });

  it('lets exactly one of 8 concurrent writers create a key, and its content is whole', async () => {
    const { store } = subject();
    const bodies = Array.from({ length: 8 }, (_, i) => patternBytes(300_000, i + 1));
    const outcomes = await Promise.all(
      bodies.map((body) => store.putIfAbsent('race/key', inChunks(body, 50_000))),
    );
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
    const winner = bodies[outcomes.indexOf('created')];
    expect((await read(store.get('race/key'))).equals(winner ?? Buffer.alloc(0))).toBe(true);
  });

  it('keeps a key and longer keys below it apart', async () => {
    const { store } = subject();
    for (const key of ['x', 'x/y', 'x/y/z'])
      await store.putIfAbsent(key, bytesOf(Buffer.from(key)));
    for (const key of ['x', 'x/y', 'x/y/z']) {
      expect((await read(store.get(key))).toString()).toBe(key);
    }
    expect(keysOf(await listAll(store, ''))).toEqual(['x', 'x/y', 'x/y/z']);
    await store.delete('x/y');
    expect(keysOf(await listAll(store, 'x/'))).toEqual(['x/y/z']);
  });

  it('deletes, deletes again without complaint, and takes the key anew', async () => {
    const { store } = subject();
    await store.delete('never/was');
    await store.putIfAbsent('d/00000000000000000007', bytesOf(Buffer.from('1')));
    await store.delete('d/00000000000000000007');
    await store.delete('d/00000000000000000007');
    expect(await store.head('d/00000000000000000007')).toBeNull();
    expect(await listAll(store, '')).toEqual([]);
    expect(await store.putIfAbsent('d/00000000000000000007', bytesOf(Buffer.from('2')))).toBe(
      'created',
    );
  });
}

function describeRefusals(subject: () => StoreUnderTest): void {
  it.each([
    '',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    'a/..',
    'a/.b',
    'a..b',
    '-a',
    'A',
    'a b',
    'a\\b',
    'a\0b',
    'a\n',
    'é',
    'a+obj',
    '+a',
    '~/a',
    'a%2fb',
    `a/${'b'.repeat(201)}`,
    `${'a/'.repeat(256)}b`,
  ])('refuses the key %j everywhere', async (key) => {
    const { store } = subject();
    const refusal = { code: 'TM_STORE_KEY' };
    await expect(store.putIfAbsent(key, bytesOf(Buffer.from('x')))).rejects.toMatchObject(refusal);
    await expect(read(store.get(key))).rejects.toMatchObject(refusal);
    await expect(store.head(key)).rejects.toMatchObject(refusal);
    await expect(store.delete(key)).rejects.toMatchObject(refusal);
    if (key !== '' && key !== 'a/') {
      await expect(listAll(store, key)).rejects.toMatchObject(refusal);
    }
    expect(await listAll(store, '')).toEqual([]);
  });

  it('says which object is missing, on the first pull and not before', async () => {
    const { store } = subject();
    await store.putIfAbsent('there/it-is', bytesOf(Buffer.from('x')));
    for (const key of ['gone', 'gone/deeper', 'there', 'there/it-is/below']) {
      const source = store.get(key);
      await expect(read(source)).rejects.toMatchObject({
        code: 'TM_STORE_MISSING',
        context: { key },
      });
      expect(await store.head(key)).toBeNull();
    }
  });

  it('refuses a range that does not lie within the object', async () => {
    const { store } = subject();
    await store.putIfAbsent('ten', bytesOf(Buffer.alloc(10)));
    for (const range of [{ end: 11 }, { start: 11 }, { start: 5, end: 4 }, { start: -1 }]) {
      await expect(read(store.get('ten', range))).rejects.toMatchObject({
        code: 'TM_STORE_RANGE',
        context: { key: 'ten', size: 10 },
      });
    }
  });
}

function describeFailedPuts(subject: () => StoreUnderTest): void {
  const expectNothing = async (key: string): Promise<void> => {
    const { store } = subject();
    expect(await store.head(key)).toBeNull();
    expect(await listAll(store, '')).toEqual([]);
    expect(await store.putIfAbsent(key, bytesOf(Buffer.from('again')))).toBe('created');
  };

  it('passes the error of a body on and leaves nothing behind', async () => {
    const failure = new Error('source broke');
    const breaking = async function* (): ByteSource {
      yield* inChunks(patternBytes(MIB), 100_000);
      throw failure;
    };
    await expect(subject().store.putIfAbsent('p/q', breaking())).rejects.toBe(failure);
    await expectNothing('p/q');
  });

  it('stops at once when aborted while the body is silent, and leaves nothing behind', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    const silent = async function* (): ByteSource {
      yield* inChunks(patternBytes(MIB), 100_000);
      setTimeout(() => controller.abort(reason), 5);
      await new Promise(() => undefined);
    };
    await expect(
      subject().store.putIfAbsent('p/q', silent(), { signal: controller.signal }),
    ).rejects.toBe(reason);
    await expectNothing('p/q');
  });

  it('does nothing when aborted before', async () => {
    const { store } = subject();
    const signal = AbortSignal.abort(new Error('before'));
    await expect(store.putIfAbsent('p', bytesOf(Buffer.from('x')), { signal })).rejects.toThrow(
      'before',
    );
    await expect(read(store.get('p', { signal }))).rejects.toThrow('before');
    await expect(store.list('', { signal })[Symbol.asyncIterator]().next()).rejects.toThrow(
      'before',
    );
    await expectNothing('p');
  });

  it('closes the body of a put that fails or is aborted', async () => {
    const controller = new AbortController();
    let closed = 0;
    const body = async function* (): ByteSource {
      try {
        yield Buffer.alloc(10);
        controller.abort(new Error('enough'));
        yield await Promise.resolve(Buffer.alloc(10));
      } finally {
        closed++;
      }
    };
    const put = subject().store.putIfAbsent('p', body(), { signal: controller.signal });
    await expect(put).rejects.toThrow('enough');
    await expect.poll(() => closed).toBe(1);
  });

  it('shows nothing of a writer that was killed in the middle', async () => {
    const { store, child } = subject();
    const key = 'seg/tl-00000000000000000001-ab';
    const writer = spawnTypeScript(new URL('store-child.ts', import.meta.url), [
      JSON.stringify(child),
      key,
    ]);
    if (writer.stdout === null) throw new Error('no pipe');
    await once(writer.stdout, 'data');
    expect(await store.head(key)).toBeNull();
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    await expectNothing(key);
    expect((await read(store.get(key))).toString()).toBe('again');
  });
}

function describeListing(subject: () => StoreUnderTest, count: number): void {
  it(`lists ${count} keys in byte-wise order, each once, and continues after any of them`, async () => {
    const { store } = subject();
    const keys: string[] = [];
    for (let i = 0; i < (count / 3) * 2; i++)
      keys.push(`v1/w/log/${String(i * 3).padStart(20, '0')}`);
    for (let i = 0; i < count / 3 - 100; i++) {
      keys.push(`v1/w/seg/tl${i % 3}-${String(i * 400_000_000).padStart(20, '0')}-z${i}`);
    }
    for (let i = 0; i < 100; i++) keys.push(`v1/w/rdb/bk_${i}.x-y`);
    for (let at = 0; at < keys.length; at += 50) {
      const part = keys.slice(at, at + 50);
      await Promise.all(part.map((key) => store.putIfAbsent(key, bytesOf(Buffer.from(key)))));
    }
    keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const all = await listAll(store, 'v1/');
    expect(keysOf(all)).toEqual(keys);
    expect(all.every(({ key, size }) => size === key.length)).toBe(true);

    for (const at of [0, 1, 99, 100, 999, 1_000, count >> 1, count - 2, count - 1]) {
      if (at >= count) continue;
      const after = keys[at] ?? '';
      expect(keysOf(await listAll(store, '', after))).toEqual(keys.slice(at + 1));
    }
    const sizes: number[] = [];
    const found: string[] = [];
    for await (const batch of store.list('v1/', { first: 1 })) {
      sizes.push(batch.length);
      found.push(...keysOf(batch));
    }
    expect([sizes[0], found]).toEqual([1, keys]);
    for (const prefix of [
      'v1/w/log/0000000000000000',
      'v1/w/seg/tl1-',
      'v1/w/rdb/bk_7',
      'v1/w/s',
    ]) {
      expect(keysOf(await listAll(store, prefix))).toEqual(
        keys.filter((key) => key.startsWith(prefix)),
      );
    }
    expect(keysOf(await listAll(store, 'v1/w/log/', 'v1/w/log/00000000000000000999'))).toEqual(
      keys.filter((key) => key.startsWith('v1/w/log/') && key > 'v1/w/log/00000000000000000999'),
    );
  });

  it('orders keys of all shapes that lie beside each other', async () => {
    const { store } = subject();
    const number = '00000000000000012345';
    const keys = [
      `m/${number.slice(0, 14)}`,
      `m/${number.slice(0, 14)}0`,
      `m/${number.slice(0, 17)}`,
      `m/${number}`,
      `m/${number}x`,
      `m/${number}-a`,
      `m/${number}/below`,
      `m/${number.slice(0, 17)}346`,
      `m/${number.slice(0, 16)}x`,
      `m/${number.slice(0, 14)}/deep/${number}`,
      'm/00000000',
      'm/00000000-',
      'm/00000000.b',
      'm-1/a',
      'm.1/a',
      'm',
      'm_',
    ];
    for (const key of keys) await store.putIfAbsent(key, bytesOf(Buffer.from('x')));
    keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(keysOf(await listAll(store, ''))).toEqual(keys);
    for (const after of keys) {
      expect(keysOf(await listAll(store, 'm', after))).toEqual(keys.filter((key) => key > after));
    }
  });

  it('stops a listing when aborted', async () => {
    const { store } = subject();
    await store.putIfAbsent('a', bytesOf(Buffer.from('x')));
    const controller = new AbortController();
    const listing = store.list('', { signal: controller.signal })[Symbol.asyncIterator]();
    controller.abort(new Error('stop'));
    await expect(listing.next()).rejects.toThrow('stop');
  });
}
