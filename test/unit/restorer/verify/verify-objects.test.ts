import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OpenedOrder } from '../../../../services/restorer/src/feeder/opened-order.ts';
import { objectsOf } from '../../../../services/restorer/src/fetch/plan-keys.ts';
import { verifyObjects } from '../../../../services/restorer/src/verify/verify-objects.ts';
import { verifyRepo } from '../../../../services/restorer/src/verify/verify-repo.ts';
import { LOG } from '../../../support/log-events.ts';
import { openPlanned } from '../../../support/opened-plan.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { SHIP_KEYS } from '../../../support/ship-harness.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
let prepared: OpenedOrder;
beforeEach(async () => {
  archive = await TestArchive.begun();
  archive.write(['SET', 'a', '1']);
  await archive.roll(); // the body of its entry
  archive.write(['SET', 'large', patternBytes(400_000)]);
  await archive.roll(); // an object of its own
  const point = { kind: 'offset', offset: archive.end, timeline: null } as const;
  const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
  prepared = await openPlanned(request, await archive.environment());
});
afterEach(async () => {
  prepared[Symbol.dispose]();
  await archive[Symbol.asyncDispose]();
});

const keyWith = (part: string): string => archive.store.keys().find((key) => key.includes(part))!;
const entryKey = (): string =>
  objectsOf(prepared.plan).find(({ ref }) => ref.key === null)!.ref.readKey;
function verify(depth: 'stream' | 'full', signal = new AbortController().signal): Promise<number> {
  const { plan, reader, keys } = prepared;
  return verifyObjects(objectsOf(plan), depth, {
    ...{ store: archive.store, reader, keyOf: keys.of, signal },
  });
}

function change(key: string, at: number): void {
  const bytes = Buffer.from(archive.store.objects.get(key)!);
  const place = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes[place]! ^ 0x10, place);
  archive.store.tamper(key, bytes);
}

describe('verifyObjects()', () => {
  it('finds a whole archive whole, and says how much it read', async () => {
    const total = prepared.plan.sealedBytes;
    expect(await verify('full')).toBe(total);
    expect(await verify('stream')).toBeLessThan(total / 10);
  });

  it.each<['stream' | 'full', string, string, (key: string) => void, string]>([
    ['stream', '/seg/', 'missing', (key) => archive.store.tamper(key, null), 'TM_STORE_MISSING'],
    ['full', '/rdb/', 'missing', (key) => archive.store.tamper(key, null), 'TM_STORE_MISSING'],
    ['stream', '/seg/', 'a byte short', (key) => cut(key, -1), 'TM_SEAL_TRUNCATED'],
    ['stream', '/seg/', 'a torn header', (key) => cut(key, 50), 'TM_SEAL_TRUNCATED'],
    ['stream', '/rdb/', 'a byte long', (key) => lengthen(key), 'TM_SEAL_TRUNCATED'],
    ['full', '/seg/', 'a byte long', (key) => lengthen(key), 'TM_SEAL_TRUNCATED'],
    ['stream', '/seg/', 'another magic', (key) => change(key, 0), 'TM_SEAL_FORMAT'],
    ['stream', '/seg/', 'another commitment', (key) => change(key, 70), 'TM_SEAL_COMMITMENT'],
    ['full', '/seg/', 'a changed chunk', (key) => change(key, 200_000), 'TM_SEAL_CHUNK'],
    ['full', '/rdb/', 'another tag', (key) => change(key, -1), 'TM_SEAL_CHUNK'],
  ])('finds and names damage: %s, %s, %s', async (depth, part, _, damage, code) => {
    const key = keyWith(part);
    damage(key);
    await expect(verify(depth)).rejects.toMatchObject({
      ...{ code, exitCode: 14, message: expect.stringContaining(key) as unknown },
    });
  });

  it.each(['stream', 'full'] as const)(
    'finds damage of an entry with a body: %s',
    async (depth) => {
      change(entryKey(), 120);
      await expect(verify(depth)).rejects.toMatchObject({
        ...{ exitCode: 14, context: { object: entryKey() } },
      });
    },
  );

  it('refuses an object in the place of another', async () => {
    archive.store.tamper(keyWith('/rdb/'), archive.store.objects.get(keyWith('/seg/'))!);
    await expect(verify('full')).rejects.toMatchObject({ exitCode: 14 });
  });

  it('leaves a changed chunk to the moment before it is sent, when only headers are looked at', async () => {
    change(keyWith('/seg/'), 200_000);
    await expect(verify('stream')).resolves.toBeGreaterThan(0);
  });

  it('stops with its signal', async () => {
    const reason = new Error('stopped');
    await expect(verify('full', AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  function cut(key: string, at: number): void {
    archive.store.tamper(key, archive.store.objects.get(key)!.subarray(0, at));
  }
  function lengthen(key: string): void {
    archive.store.tamper(key, Buffer.concat([archive.store.objects.get(key)!, Buffer.from('x')]));
  }
});

describe('verifyRepo()', () => {
  const run = () =>
    verifyRepo({
      ...{ store: archive.store, keys: SHIP_KEYS, signal: new AbortController().signal },
      onProgress: () => undefined,
    });

  it('reads everything of a whole store and finds no fault', async () => {
    expect(await run()).toMatchObject({
      ...{ instances: 1, objects: 3, bytes: prepared.plan.sealedBytes, faultCount: 0, faults: [] },
    });
  });

  it('finds every fault in one run', async () => {
    archive.store.tamper(keyWith('/rdb/'), null);
    change(keyWith('/seg/'), 200_000);
    const { faultCount, faults } = await run();
    expect(faultCount).toBe(2);
    expect(faults.map(({ code }) => code).sort()).toEqual(['TM_SEAL_CHUNK', 'TM_STORE_MISSING']);
    expect(faults).toMatchObject([
      { instance: LOG.iid, exitCode: 14 },
      { instance: LOG.iid, exitCode: 14 },
    ]);
  });

  it('reports keys that do not open once, not for each object', async () => {
    for (const key of archive.store.keys('v1/keys/')) archive.store.tamper(key, Buffer.from('{}'));
    const { faults } = await run();
    expect(faults.map(({ code }) => code)).toEqual(['TM_KEY_FORMAT', 'TM_KEY_FORMAT']);
  });
});
