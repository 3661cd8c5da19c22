import { bytesOf, collectBytes } from '@tidemark/core';
import { copyObjects, type CopyCounts, type CopyOptions, type ObjectStore } from '@tidemark/store';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../support/memory-store.ts';
import { patternBytes } from '../../support/pattern.ts';

const log = (seq: number): string => `v1/instance/i/0/w/log/${String(seq).padStart(20, '0')}`;
const seg = (name: string): string => `v1/instance/i/0/w/seg/${name}`;

const put = async (store: ObjectStore, key: string, bytes: Buffer | string): Promise<void> => {
  expect(await store.putIfAbsent(key, bytesOf(Buffer.from(bytes)))).toBe('created');
};
const keysOf = async (store: ObjectStore): Promise<string[]> => {
  const keys: string[] = [];
  for await (const batch of store.list('')) keys.push(...batch.map(({ key }) => key));
  return keys;
};
const read = (store: ObjectStore, key: string): Promise<Buffer> =>
  collectBytes(store.get(key), 10_000_000, () => new Error('more than the test wrote'));

const copy = (
  source: ObjectStore,
  target: ObjectStore,
  over: Partial<CopyOptions> = {},
): Promise<CopyCounts> =>
  copyObjects({
    ...{ source, target, prefix: 'v1/', verify: false, signal: new AbortController().signal },
    namesOthers: (key) => key.includes('/log/'),
    isLeftOut: (key) => key.startsWith('v1/lease/'),
    onProgress: () => undefined,
    ...over,
  });

async function filled(): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (let i = 0; i < 30; i++) await put(store, seg(`s${i}`), patternBytes(1_000 + i, i + 1));
  await put(store, seg('large'), patternBytes(3_000_000));
  for (let i = 0; i < 40; i++) await put(store, log(i), `entry ${i}`);
  await put(store, 'v1/keys/i/k/0', 'key');
  await put(store, 'v1/lease/x', 'lease');
  await put(store, 'other/x', 'not ours');
  return store;
}

describe('copyObjects()', () => {
  it('gives the target what the source has, but leases and what is not ours', async () => {
    const [source, target] = [await filled(), new MemoryStore()];
    const counts = await copy(source, target);
    expect(counts).toMatchObject({ objects: 72, copied: 72, kept: 0, verified: 0, gone: 0 });
    const keys = (await keysOf(source)).filter((key) => /^v1\/(instance|keys)/.test(key));
    expect(await keysOf(target)).toEqual(keys);
    for (const key of keys) {
      expect((await read(target, key)).equals(await read(source, key))).toBe(true);
    }
  });

  it('sends nothing a second time, and goes on where it was stopped', async () => {
    const [source, target] = [await filled(), new MemoryStore()];
    const control = new AbortController();
    const stopped = copy(source, target, {
      signal: control.signal,
      onProgress: ({ objects }) => {
        if (objects === 20) control.abort(new Error('stop'));
      },
    });
    await expect(stopped).rejects.toThrow('stop');
    const there = (await keysOf(target)).length;
    expect(there).toBeGreaterThanOrEqual(20);
    expect(await copy(source, target)).toMatchObject({
      objects: 72,
      copied: 72 - there,
      kept: there,
    });
    expect(await copy(source, target, { verify: true })).toMatchObject({
      ...{ objects: 72, copied: 0, kept: 72, verified: 72 },
    });
  });

  it('takes no entry that came after the beginning: what it names may not be there', async () => {
    const [source, target] = [await filled(), new MemoryStore()];
    let grown = Promise.resolve();
    await copy(source, target, {
      onProgress: ({ objects }) => {
        // Sorted before everything: the data have been listed past it.
        if (objects === 31) {
          grown = put(source, seg('a'), 'late').then(() => put(source, log(40), 'names it'));
        }
      },
    });
    await grown;
    const keys = await keysOf(target);
    expect(keys).toContain(log(39));
    expect(keys).not.toContain(log(40));
    await copy(source, target);
    expect(await keysOf(target)).toEqual(expect.arrayContaining([log(40), seg('a')]));
  });

  it('overwrites nothing: what differs in size, or in bytes when they are compared, is refused', async () => {
    const [source, target] = [await filled(), new MemoryStore()];
    await copy(source, target);
    const other = new MemoryStore();
    await put(other, seg('s3'), 'short');
    await expect(copy(source, other)).rejects.toMatchObject({
      code: 'TM_STORE_DIFFERS',
      context: { key: seg('s3') },
    });
    const flipped = await read(target, seg('s3'));
    flipped.writeUInt8(flipped.readUInt8(9) ^ 1, 9);
    await target.delete(seg('s3'));
    await put(target, seg('s3'), flipped);
    expect(await copy(source, target)).toMatchObject({ kept: 72 });
    await expect(copy(source, target, { verify: true })).rejects.toMatchObject({
      code: 'TM_STORE_DIFFERS',
      context: { key: seg('s3') },
    });
  });
});
