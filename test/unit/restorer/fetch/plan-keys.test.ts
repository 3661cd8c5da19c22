import { wrappedKeyKey } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { encodeWrappedDataKey } from '@tidemark/crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  objectsOf,
  PlanKeys,
  unwrapDataKey,
  unwrapPlanKeys,
} from '../../../../services/restorer/src/fetch/plan-keys.ts';
import type {
  PlannedObject,
  RestorePlan,
} from '../../../../services/restorer/src/plan/restore-plan.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';

let store: MemoryStore;
let keys: MemoryKeys;
beforeEach(() => {
  store = new MemoryStore();
  keys = new MemoryKeys();
});

async function put(purpose: 'segments' | 'snapshot'): Promise<string> {
  const { dataKey, wrapped } = await keys.generateDataKey({ instance: 'inst', purpose });
  const bytes = encodeWrappedDataKey(wrapped);
  await store.putIfAbsent(wrappedKeyKey('inst', dataKey.id, 1), bytesOf(bytes));
  return dataKey.id;
}
const object = (dekId: string): PlannedObject =>
  ({ ref: { dekId }, timeline: 't1', start: 0n }) as unknown as PlannedObject;
const planOf = (snapshot: string, ...segments: readonly string[]): RestorePlan =>
  ({
    instance: 'inst',
    snapshotObject: object(snapshot),
    reads: segments.map((dekId) => ({ object: object(dekId) })),
  }) as unknown as RestorePlan;

describe('unwrapPlanKeys()', () => {
  it('opens each key of a plan once, and wipes all at the end', async () => {
    const [snapshot, one, two] = [
      await put('snapshot'),
      await put('segments'),
      await put('segments'),
    ];
    keys.asked.length = 0;
    const opened = await unwrapPlanKeys(planOf(snapshot, one, two, one), store, keys);
    expect(keys.asked).toEqual(['unwrap snapshot', 'unwrap segments', 'unwrap segments']);
    const secrets = [snapshot, one, two].map((id) => opened.of(id).key);
    expect(new Set(secrets.map((key) => key.toString('hex'))).size).toBe(3);
    opened[Symbol.dispose]();
    for (const key of secrets) expect(key.equals(Buffer.alloc(32))).toBe(true);
  });

  it('gives no key that was not planned', () => {
    expect(() => new PlanKeys(new Map()).of('ab'.repeat(16))).toThrow(
      expect.objectContaining({ code: 'TM_KEY_MISSING', context: { dekId: 'ab'.repeat(16) } }),
    );
  });

  it('opens a key only for the use that the plan makes of it', async () => {
    const id = await put('segments');
    await expect(unwrapPlanKeys(planOf(id), store, keys)).rejects.toMatchObject({
      ...{ code: 'TM_SEAL_COMMITMENT', exitCode: 14 },
      context: { object: wrappedKeyKey('inst', id, 1) },
    });
  });
});

describe('unwrapDataKey()', () => {
  const unwrap = (dekId: string) =>
    unwrapDataKey({ instance: 'inst', dekId, purpose: 'segments' }, store, keys);

  it('names a wrapped key that is missing, and says what that means', async () => {
    const id = 'cd'.repeat(16);
    await expect(unwrap(id)).rejects.toMatchObject({
      ...{
        code: 'TM_STORE_MISSING',
        exitCode: 14,
        context: { object: wrappedKeyKey('inst', id, 1) },
      },
      hint: expect.stringContaining('cannot be opened') as unknown,
    });
  });

  it.each<[string, (bytes: Buffer) => Buffer, string]>([
    ['is cut off', (bytes) => bytes.subarray(0, -5), 'TM_KEY_FORMAT'],
    ['is too long', () => Buffer.alloc(70_000), 'TM_SEAL_COMMITMENT'],
    ['is empty', () => Buffer.alloc(0), 'TM_KEY_FORMAT'],
  ])('names a wrapped key that %s', async (_, damage, code) => {
    const id = await put('segments');
    const key = wrappedKeyKey('inst', id, 1);
    store.tamper(key, damage(store.objects.get(key)!));
    await expect(unwrap(id)).rejects.toMatchObject({
      ...{ code, exitCode: 14, context: { object: key } },
      message: expect.stringContaining(key) as unknown,
    });
  });

  it('refuses the key of another object in its place', async () => {
    const [id, other] = [await put('segments'), await put('segments')];
    store.tamper(wrappedKeyKey('inst', id, 1), store.objects.get(wrappedKeyKey('inst', other, 1))!);
    await expect(unwrap(id)).rejects.toMatchObject({ code: 'TM_SEAL_COMMITMENT' });
  });
});

describe('objectsOf()', () => {
  it('gives the snapshot first and then the segments in order', () => {
    const ids = objectsOf(planOf('a', 'b', 'c')).map(({ ref }) => ref.dekId);
    expect(ids).toEqual(['a', 'b', 'c']);
  });
});
