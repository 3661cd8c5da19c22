import { wrappedKeyKey } from '@tidemark/archive';
import { bytesOf, KeyError } from '@tidemark/core';
import { encodeWrappedDataKey } from '@tidemark/crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { dataKeysOf } from '../../../../services/restorer/src/fetch/key-generations.ts';
import { unwrapDataKey } from '../../../../services/restorer/src/fetch/plan-keys.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';

const NEVER = new AbortController().signal;
let store: MemoryStore;
let keys: MemoryKeys;
beforeEach(() => {
  store = new MemoryStore();
  keys = new MemoryKeys();
});

/** Stores generations of one data key; gives its id and the key in clear. */
async function put(...generations: readonly number[]): Promise<{ id: string; clear: Buffer }> {
  const { dataKey, wrapped } = await keys.generateDataKey({
    instance: 'inst',
    purpose: 'segments',
  });
  for (const generation of generations) {
    const bytes = encodeWrappedDataKey({ ...wrapped, createdMs: generation });
    await store.putIfAbsent(wrappedKeyKey('inst', dataKey.id, generation), bytesOf(bytes));
  }
  return { id: dataKey.id, clear: Buffer.from(dataKey.key) };
}
const unwrap = (dekId: string): ReturnType<typeof unwrapDataKey> =>
  unwrapDataKey({ instance: 'inst', dekId, purpose: 'segments' }, store, keys);

describe('unwrapDataKey() with generations', () => {
  it('takes the newest one and reads no other', async () => {
    const { id, clear } = await put(1, 2, 11);
    store.calls.length = 0;
    expect((await unwrap(id)).key).toEqual(clear);
    const read = store.calls.filter(({ op }) => op === 'get').map(({ key }) => key);
    expect(read).toEqual([wrappedKeyKey('inst', id, 11)]);
  });

  it.each<[string, Buffer]>([
    ['cut off', Buffer.from('{"format":1')],
    ['empty', Buffer.alloc(0)],
  ])('falls back to an older one when the newest is %s', async (_, damaged) => {
    const { id, clear } = await put(1, 2, 3);
    store.tamper(wrappedKeyKey('inst', id, 3), damaged);
    expect((await unwrap(id)).key).toEqual(clear);
  });

  it('falls back to an older one when the newest is wrapped by a key that refuses', async () => {
    const { id, clear } = await put(1, 2);
    const unwrapNow = keys.unwrapDataKey.bind(keys);
    keys.unwrapDataKey = (wrapped, context) =>
      wrapped.createdMs === 2
        ? Promise.reject(new KeyError('TM_KEY_DENIED', 'denied'))
        : unwrapNow(wrapped, context);
    expect((await unwrap(id)).key).toEqual(clear);
  });

  it('says what is wrong with the newest one when none opens', async () => {
    const { id } = await put(1, 2);
    store.tamper(wrappedKeyKey('inst', id, 1), Buffer.alloc(0));
    store.tamper(wrappedKeyKey('inst', id, 2), Buffer.from('{}'));
    await expect(unwrap(id)).rejects.toMatchObject({
      code: 'TM_KEY_FORMAT',
      context: { object: wrappedKeyKey('inst', id, 2) },
    });
  });

  it('looks again when the generation it saw was replaced meanwhile', async () => {
    const { id, clear } = await put(1);
    const bytes = store.objects.get(wrappedKeyKey('inst', id, 1))!;
    const seen = store.through(({ op, key }) => {
      if (op !== 'get' || !key.endsWith('1')) return undefined;
      store.tamper(wrappedKeyKey('inst', id, 2), bytes);
      store.tamper(key, null);
      return undefined;
    });
    const context = { instance: 'inst', dekId: id, purpose: 'segments' } as const;
    expect((await unwrapDataKey(context, seen, keys)).key).toEqual(clear);
  });
});

describe('dataKeysOf()', () => {
  it('gives each data key once, its generations newest first, also over many listings', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 700; i++) ids.push((await put(1, 2)).id);
    await put(7);
    store.tamper('v1/keys/inst/stray', Buffer.from('x'));
    store.tamper('v1/keys/other/x', Buffer.from('x'));
    const found = new Map<string, readonly bigint[]>();
    for await (const group of dataKeysOf('inst', store, NEVER)) {
      const id = group[0]?.dekId ?? '';
      expect(found.has(id)).toBe(false);
      found.set(
        id,
        group.map(({ generation }) => generation),
      );
    }
    expect(found.size).toBe(701);
    for (const id of ids) expect(found.get(id)).toEqual([2n, 1n]);
  });
});
