import { wrappedKeyKey } from '@tidemark/archive';
import { parseWrappedDataKey } from '@tidemark/crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { DataKeys } from '../../../../services/archiver/src/ship/data-keys.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { failsBefore, MemoryStore } from '../../../support/memory-store.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const HOUR_MS = 3_600_000;
const GIB = 1024 ** 3;

let store: MemoryStore;
let keys: MemoryKeys;
let clock: SteppingClock;
let dataKeys: DataKeys;
beforeEach(() => {
  store = new MemoryStore();
  keys = new MemoryKeys();
  clock = steppingClock(0);
  dataKeys = new DataKeys({ instance: 'inst', keys, store, clock });
});

describe('DataKeys.forSegment()', () => {
  it('has the wrapped key in the store before anything can be sealed with it', async () => {
    const { id, key } = await dataKeys.forSegment(10);
    const stored = parseWrappedDataKey(store.objects.get(wrappedKeyKey('inst', id, 1))!);
    const context = { instance: 'inst', purpose: 'segments', dekId: id } as const;
    expect(stored.context).toEqual(context);
    expect((await keys.unwrapDataKey(stored, context)).key).toEqual(key);
  });

  it('gives no key when its wrapped form cannot be stored', async () => {
    const down = store.through(({ op, key }) => (op === 'put' ? failsBefore(key) : undefined));
    const away = new DataKeys({ instance: 'inst', keys, store: down, clock });
    await expect(away.forSegment(10)).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    expect(store.keys()).toEqual([]);
  });

  it('keeps one key for an hour', async () => {
    const first = await dataKeys.forSegment(10);
    clock.now += HOUR_MS - 1;
    expect((await dataKeys.forSegment(10)).id).toBe(first.id);
    clock.now += 1;
    expect((await dataKeys.forSegment(10)).id).not.toBe(first.id);
    expect(keys.asked).toEqual(['generate segments', 'generate segments']);
  });

  it('takes another key after 4,096 objects', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 4_096; i++) ids.add((await dataKeys.forSegment(1)).id);
    expect(ids.size).toBe(1);
    ids.add((await dataKeys.forSegment(1)).id);
    expect(ids.size).toBe(2);
  });

  it('takes another key before 64 GiB would be exceeded', async () => {
    const first = (await dataKeys.forSegment(60 * GIB)).id;
    expect((await dataKeys.forSegment(4 * GIB)).id).toBe(first);
    expect((await dataKeys.forSegment(1)).id).not.toBe(first);
  });

  it('zero-fills a key that is over, and the last one at the end', async () => {
    const first = await dataKeys.forSegment(10);
    clock.now += HOUR_MS;
    const second = await dataKeys.forSegment(10);
    expect([isZero(first.key), isZero(second.key)]).toEqual([true, false]);
    dataKeys.close();
    expect(isZero(second.key)).toBe(true);
    expect((await dataKeys.forSegment(10)).id).not.toBe(second.id);
  });
});

describe('DataKeys.forSnapshot()', () => {
  it('gives a fresh key each time, bound to its use', async () => {
    const [one, two] = [await dataKeys.forSnapshot(), await dataKeys.forSnapshot()];
    expect(one.id).not.toBe(two.id);
    const stored = parseWrappedDataKey(store.objects.get(wrappedKeyKey('inst', one.id, 1))!);
    expect(stored.context.purpose).toBe('snapshot');
  });
});

it('never unwraps a key: an archiver needs no right to', async () => {
  await dataKeys.forSegment(10);
  await dataKeys.forSnapshot();
  expect(keys.asked).toEqual(['generate segments', 'generate snapshot']);
});

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
