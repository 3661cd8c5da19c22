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

describe('DataKeys.forSpool()', () => {
  it('gives the wrapped form with the key, bound to its use', async () => {
    const { dataKey, wrapped } = await dataKeys.forSpool(10);
    const { id, key } = dataKey;
    const stored = parseWrappedDataKey(wrapped);
    const context = { instance: 'inst', purpose: 'segments', dekId: id } as const;
    expect(stored.context).toEqual(context);
    expect((await keys.unwrapDataKey(stored, context)).key).toEqual(key);
  });

  it('asks the store for nothing: it may be away', async () => {
    await dataKeys.forSpool(10);
    await dataKeys.forSnapshot();
    expect(store.calls).toEqual([]);
  });

  it('gives two that ask at once one key', async () => {
    const [one, two] = await Promise.all([dataKeys.forSpool(10), dataKeys.forSpool(10)]);
    expect(one.dataKey.id).toBe(two.dataKey.id);
    expect(keys.asked).toEqual(['generate segments']);
  });

  it('gives a key that nobody wipes while something is sealed with it', async () => {
    const { dataKey: first } = await dataKeys.forSpool(10);
    const { dataKey: other } = await dataKeys.forSpool(10);
    other.key.fill(0);
    dataKeys.renew();
    await dataKeys.forSpool(10);
    dataKeys.close();
    expect(isZero(first.key)).toBe(false);
  });

  it('keeps one key for an hour', async () => {
    const first = await segmentKeyId(10);
    clock.now += HOUR_MS - 1;
    expect(await segmentKeyId(10)).toBe(first);
    clock.now += 1;
    expect(await segmentKeyId(10)).not.toBe(first);
    expect(keys.asked).toEqual(['generate segments', 'generate segments']);
  });

  it('takes another key after 4,096 objects', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 4_096; i++) ids.add(await segmentKeyId(1));
    expect(ids.size).toBe(1);
    ids.add(await segmentKeyId(1));
    expect(ids.size).toBe(2);
  });

  it('takes another key before 64 GiB would be exceeded', async () => {
    const first = await segmentKeyId(60 * GIB);
    expect(await segmentKeyId(4 * GIB)).toBe(first);
    expect(await segmentKeyId(1)).not.toBe(first);
  });

  it('takes another key when it is told to, also when none could be had the first time', async () => {
    const first = await segmentKeyId(10);
    dataKeys.renew();
    const second = await segmentKeyId(10);
    expect(second).not.toBe(first);
    expect(await segmentKeyId(10)).toBe(second);
  });

  it('zero-fills its own copy of a key that is over, and of the last one at the end', async () => {
    const made: Buffer[] = [];
    const generate = keys.generateDataKey.bind(keys);
    keys.generateDataKey = async (context) => {
      const generated = await generate(context);
      made.push(generated.dataKey.key);
      return generated;
    };
    await dataKeys.forSpool(10);
    clock.now += HOUR_MS;
    await dataKeys.forSpool(10);
    expect(made.map(isZero)).toEqual([true, false]);
    dataKeys.close();
    expect(made.map(isZero)).toEqual([true, true]);
  });
});

describe('DataKeys.forSegment()', () => {
  it('has the wrapped key in the store before anything can be sealed with it, put once', async () => {
    const { id } = await dataKeys.forSegment(10);
    await dataKeys.forSegment(10);
    expect(store.keys()).toEqual([wrappedKeyKey('inst', id, 1)]);
    expect(store.calls).toHaveLength(1);
  });

  it('gives no key when its wrapped form cannot be stored', async () => {
    const down = store.through(({ op, key }) => (op === 'put' ? failsBefore(key) : undefined));
    const away = new DataKeys({ instance: 'inst', keys, store: down, clock });
    await expect(away.forSegment(10)).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    expect(store.keys()).toEqual([]);
  });
});

describe('DataKeys.forSnapshot()', () => {
  it('gives a fresh key each time, bound to its use', async () => {
    const [one, two] = [await dataKeys.forSnapshot(), await dataKeys.forSnapshot()];
    expect(one.dataKey.id).not.toBe(two.dataKey.id);
    expect(parseWrappedDataKey(one.wrapped).context.purpose).toBe('snapshot');
  });
});

describe('DataKeys.store()', () => {
  it('stores a wrapped key once, under the name of its key', async () => {
    const { dataKey, wrapped } = await dataKeys.forSpool(10);
    for (let at = 0; at < 2; at++) await dataKeys.store(dataKey.id, wrapped);
    expect(store.objects.get(wrappedKeyKey('inst', dataKey.id, 1))).toEqual(wrapped);
    expect(store.calls).toHaveLength(1);
  });
});

it('never unwraps a key: an archiver needs no right to', async () => {
  await dataKeys.forSegment(10);
  await dataKeys.forSnapshot();
  expect(keys.asked).toEqual(['generate segments', 'generate snapshot']);
});

async function segmentKeyId(plainBytes: number): Promise<string> {
  return (await dataKeys.forSpool(plainBytes)).dataKey.id;
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
