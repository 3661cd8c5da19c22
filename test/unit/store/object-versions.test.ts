import {
  eraseObject,
  listVersions,
  type ObjectStore,
  type ObjectVersion,
  type VersionAccess,
} from '@tidemark/store';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../support/memory-store.ts';

const KEY = 'v1/keys/tiny/k';

/** A store with one object, and what it answers to questions for versions. */
function storeOf(
  named: readonly ObjectVersion[],
  change: Partial<ObjectStore> = {},
): { store: ObjectStore; memory: MemoryStore } {
  const memory = new MemoryStore();
  memory.tamper(KEY, Buffer.from('x'));
  let left = named;
  const versions: VersionAccess = {
    async *list(prefix) {
      const found = left.filter(({ key }) => key.startsWith(prefix));
      if (found.length > 0) yield await Promise.resolve(found);
    },
    lockOf: () => Promise.resolve(null),
    remove: async (version) => {
      left = left.filter(({ versionId }) => versionId !== version.versionId);
      const isLeft = left.some(({ key, isMarker }) => key === version.key && !isMarker);
      if (!isLeft) await memory.delete(version.key);
    },
  };
  return { memory, store: Object.assign(memory.through(), { versions }, change) };
}

const version = (versionId: string, key = KEY): ObjectVersion => ({
  ...{ key, versionId, isMarker: false },
});

describe('eraseObject()', () => {
  it('removes an object of which the server names no version', async () => {
    const { store, memory } = storeOf([]);
    expect(await eraseObject(store, KEY)).toBe(1);
    expect(memory.keys()).toEqual([]);
    expect(await eraseObject(store, KEY)).toBe(0);
  });

  it('removes every version, and nothing of a longer key', async () => {
    const { store, memory } = storeOf([version('2'), version('1'), version('3', `${KEY}2`)]);
    memory.tamper(`${KEY}2`, Buffer.from('y'));
    expect(await eraseObject(store, KEY)).toBe(2);
    const left = [];
    for await (const batch of listVersions(store, 'v1/')) left.push(...batch);
    expect(left).toContainEqual(version('3', `${KEY}2`));
  });

  it.each([
    ['without versions', { versions: undefined } as Partial<ObjectStore>],
    ['that names none', {}],
  ])('is no success in a store %s that keeps the object', async (_, change) => {
    const { store, memory } = storeOf([], { ...change, delete: () => Promise.resolve() });
    await expect(eraseObject(store, KEY)).rejects.toMatchObject({
      ...{ code: 'TM_STORE_REFUSED', context: { key: KEY } },
    });
    expect(memory.keys()).toEqual([KEY]);
  });
});

describe('listVersions()', () => {
  it('names each object of which no version was named', async () => {
    const { store, memory } = storeOf([version('2'), version('1')]);
    memory.tamper('v1/keys/tiny/z', Buffer.from('z'));
    const found = [];
    for await (const batch of listVersions(store, 'v1/keys/')) found.push(...batch);
    expect(found).toEqual([version('2'), version('1'), version('null', 'v1/keys/tiny/z')]);
  });
});
