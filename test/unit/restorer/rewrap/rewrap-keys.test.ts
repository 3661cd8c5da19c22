import { parseObjectKey, wrappedKeyKey } from '@tidemark/archive';
import { parseWrappedDataKey, type KeyProvider, type WrappingKey } from '@tidemark/crypto';
import { KeyError } from '@tidemark/core';
import { rewrapKeys, shredKeys, type RewrapReport } from '@tidemark/restorer';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { standingClock } from '../../../support/crypto-ports.ts';
import { DamageBench } from '../../../support/damage/damage-bench.ts';
import { TINY_INSTANCE } from '../../../support/damage/tiny-archive.ts';
import type { FaultHook, MemoryStore } from '../../../support/memory-store.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const NEVER = new AbortController().signal;
const DATA_KEYS = 3;
/** It takes 5 s on a free core; much may run beside it. */
const SWEEP_TIMEOUT_MS = 120_000;
let dir: TempDir;
let bench: DamageBench;
let target: WrappingKey;
beforeEach(async () => {
  dir = await TempDir.create('tidemark-rewrap-');
  bench = await DamageBench.build('rewrap', dir.path);
  target = { provider: 'ring', keyId: bench.keys.ringId };
});
afterEach(() => dir[Symbol.asyncDispose]());

async function rewrap(
  store: MemoryStore = bench.store,
  keys: KeyProvider = bench.keys,
): Promise<RewrapReport> {
  const log = await bench.instanceLog();
  return rewrapKeys({
    ...{ instance: TINY_INSTANCE, target, store, keys, log, signal: NEVER },
    onProgress: () => undefined,
  });
}

const keyObjects = (): string[] => bench.store.keys('v1/keys/');
const versions = (): number[] =>
  keyObjects().map((key) => parseWrappedDataKey(bench.store.objects.get(key)!).keyVersion);
const generations = (): bigint[] =>
  keyObjects().map((key) => {
    const parts = parseObjectKey(key);
    return parts?.kind === 'wrapped-key' ? parts.generation : -1n;
  });

/** Everything opens: both backups, the newest second, and every byte there is. */
async function expectRestorable(what: string): Promise<void> {
  await bench.dryRun();
  await bench.dryRunOf({ kind: 'backup', backup: 'bk-1' });
  const { faults } = await bench.verify();
  expect(faults, what).toEqual([]);
}

/** A process that ends: the call, and all that come after it, never return. */
class Killed extends Error {}

function killedAt(index: number, when: 'before' | 'after'): FaultHook {
  const die = (): never => {
    throw new Killed();
  };
  return (call) => {
    if (call.index < index) return undefined;
    return call.index === index && when === 'after' ? { after: die } : { before: die };
  };
}

describe('rewrapKeys()', () => {
  it('wraps each data key with the newest version of the ring and leaves the data as it is', async () => {
    const data = new Map([...bench.store.objects].filter(([key]) => !key.startsWith('v1/keys/')));
    await bench.keys.rotate();
    expect(await rewrap()).toEqual({
      ...{ keys: DATA_KEYS, rewrapped: DATA_KEYS, present: 0, untested: 0, removed: DATA_KEYS },
      ...{ faultCount: 0, faults: [] },
    });
    expect(versions()).toEqual([2, 2, 2]);
    expect(generations()).toEqual([2n, 2n, 2n]);
    for (const [key, bytes] of data) expect(bench.store.objects.get(key)).toEqual(bytes);
    await expectRestorable('after');
  });

  it('does nothing where nothing is left to do', async () => {
    await bench.keys.rotate();
    await rewrap();
    const before = new Map(bench.store.objects);
    const seen = bench.store.through();
    expect(await rewrap(seen)).toMatchObject({ rewrapped: 0, present: DATA_KEYS, removed: 0 });
    expect(new Map(bench.store.objects)).toEqual(before);
    expect(seen.calls.filter(({ op }) => op === 'put' || op === 'delete')).toEqual([]);
  });

  it(
    'killed before or after any call on the store, every backup restores and it goes on',
    async () => {
      await bench.keys.rotate();
      const whole = bench.store.snapshot();
      const seen = whole.through();
      await rewrap(seen);
      const calls = seen.calls.length;
      expect(calls).toBeGreaterThan(4 * DATA_KEYS);
      const original = new Map(bench.store.objects);
      for (let index = 0; index < calls; index++) {
        for (const when of ['before', 'after'] as const) {
          for (const key of bench.store.keys()) bench.store.tamper(key, original.get(key) ?? null);
          for (const [key, bytes] of original) bench.store.tamper(key, bytes);
          const what = `killed ${when} call ${index}`;
          await rewrap(bench.store.through(killedAt(index, when))).catch((cause: unknown) => {
            expect(cause, what).toBeInstanceOf(Killed);
          });
          await expectRestorable(what);
          await rewrap();
          expect(versions(), what).toEqual([2, 2, 2]);
          await expectRestorable(`${what}, then run again`);
        }
      }
    },
    SWEEP_TIMEOUT_MS,
  );

  it('keeps the older generation where the new one may not be opened', async () => {
    await bench.keys.rotate();
    const denied = providerWith({
      unwrapDataKey: () => Promise.reject(new KeyError('TM_KEY_DENIED', 'denied')),
    });
    expect(await rewrap(bench.store, denied)).toMatchObject({
      ...{ rewrapped: DATA_KEYS, untested: DATA_KEYS, removed: 0, faultCount: 0 },
    });
    expect(generations()).toEqual([1n, 2n, 1n, 2n, 1n, 2n]);
    await expectRestorable('both generations');
    expect(await rewrap()).toMatchObject({ present: DATA_KEYS, untested: 0, removed: DATA_KEYS });
    expect(generations()).toEqual([2n, 2n, 2n]);
  });

  it('never removes a generation for one that holds another key, or does not open', async () => {
    await bench.keys.rotate();
    const { dataKey } = await bench.keys.generateDataKey({
      ...{ instance: TINY_INSTANCE, purpose: 'snapshot' },
    });
    const wrong = providerWith({
      rewrapDataKey: (_, context) =>
        bench.keys.wrapDataKey({ ...dataKey, id: context.dekId }, context),
    });
    const report = await rewrap(bench.store, wrong);
    expect(report).toMatchObject({ rewrapped: 0, removed: 0, faultCount: DATA_KEYS });
    expect(report.faults[0]).toMatchObject({ code: 'TM_SEAL_COMMITMENT', exitCode: 14 });
    expect(generations().filter((generation) => generation === 1n)).toHaveLength(DATA_KEYS);
  });

  it('passes over what is damaged, and says so; the others are done', async () => {
    await bench.keys.rotate();
    const [first] = keyObjects();
    bench.store.tamper(first!, Buffer.from('{}'));
    const report = await rewrap();
    expect(report).toMatchObject({ keys: DATA_KEYS, rewrapped: DATA_KEYS - 1, faultCount: 1 });
    expect(report.faults[0]).toMatchObject({ code: 'TM_KEY_FORMAT', exitCode: 14 });
    expect(report.faults[0]!.message).toContain(first);
    expect(bench.store.objects.get(first!)).toEqual(Buffer.from('{}'));
  });

  it('wraps a good older generation anew where the newest is damaged', async () => {
    const [first] = keyObjects();
    const { dekId } = parseObjectKey(first!) as { dekId: string };
    bench.store.tamper(wrappedKeyKey(TINY_INSTANCE, dekId, 2), Buffer.alloc(0));
    await bench.keys.rotate();
    expect(await rewrap()).toMatchObject({ rewrapped: DATA_KEYS, removed: DATA_KEYS + 1 });
    expect(generations().sort()).toEqual([2n, 2n, 3n]);
    await expectRestorable('after');
  });

  it.each<[string, boolean]>([
    ['of the newest version', true],
    ['of an older version', false],
  ])('takes the generation of another data key, %s, for damaged', async (_, isNewest) => {
    const [first, second] = keyObjects();
    const { dekId } = parseObjectKey(first!) as { dekId: string };
    const planted = wrappedKeyKey(TINY_INSTANCE, dekId, 2);
    bench.store.tamper(planted, bench.store.objects.get(second!)!);
    if (!isNewest) await bench.keys.rotate();
    expect(await rewrap()).toMatchObject({ faultCount: 0, rewrapped: isNewest ? 1 : DATA_KEYS });
    expect(keyObjects()).not.toContain(planted);
    const left = keyObjects().filter((key) => key.includes(dekId));
    expect(left).toEqual([wrappedKeyKey(TINY_INSTANCE, dekId, 3)]);
    expect(parseWrappedDataKey(bench.store.objects.get(left[0]!)!).context.dekId).toBe(dekId);
    await expectRestorable('after');
  });

  it('removes nothing where only another data key lies in the place of one', async () => {
    const [first, second] = keyObjects();
    bench.store.tamper(first!, bench.store.objects.get(second!)!);
    const report = await rewrap();
    expect(report).toMatchObject({ removed: 0, faultCount: 1 });
    expect(report.faults[0]).toMatchObject({ code: 'TM_KEY_WRONG' });
    expect(report.faults[0]!.message).toContain(first);
    expect(keyObjects()).toContain(first);
  });

  it('brings no key back that is destroyed while it is wrapped anew', async () => {
    await bench.keys.rotate();
    let shredded = false;
    const slow = providerWith({
      rewrapDataKey: async (wrapped, context, key) => {
        if (!shredded) {
          shredded = true;
          await shredKeys({
            ...{ instance: TINY_INSTANCE, dekIds: null, store: bench.store, signal: NEVER },
            ...{ log: await bench.instanceLog(), clock: standingClock(5) },
            onProgress: () => undefined,
          });
        }
        return bench.keys.rewrapDataKey(wrapped, context, key);
      },
    });
    await rewrap(bench.store, slow);
    expect(keyObjects()).toEqual([]);
  });
});

/** The ring with some of its answers changed. */
function providerWith(change: Partial<KeyProvider>): KeyProvider {
  const { keys } = bench;
  return {
    name: keys.name,
    generateDataKey: (context) => keys.generateDataKey(context),
    unwrapDataKey: (wrapped, context) => keys.unwrapDataKey(wrapped, context),
    logKey: (instance) => keys.logKey(instance),
    describeKey: (keyId) => keys.describeKey(keyId),
    listKeys: () => keys.listKeys(),
    rewrapDataKey: (wrapped, context, key) => keys.rewrapDataKey(wrapped, context, key),
    ...change,
  };
}
