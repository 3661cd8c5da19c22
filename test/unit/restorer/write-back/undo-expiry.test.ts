import { undoPartKey, undoPrefix } from '@tidemark/archive';
import { EMPTY_INSTANCE_STATE, EMPTY_WRITER_STATE, type Lease } from '@tidemark/catalog';
import { beforeEach, describe, expect, it } from 'vitest';
import { expireUndoPacks } from '../../../../services/restorer/src/write-back/undo/expire-undo-packs.ts';
import {
  findOverPacks,
  listUndoPacks,
  removeExpiredPacks,
} from '../../../../services/restorer/src/write-back/undo/undo-objects.ts';
import { UndoPackWriter } from '../../../../services/restorer/src/write-back/undo/undo-pack-writer.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const HOUR_MS = 3_600_000;
const START_MS = 1_800_000_000_000;
const instance = 'orders';
/** First byte of what binds a sealed object to its key (docs/formats/sealed-container.md). */
const COMMITMENT_AT = 64;

const { signal } = new AbortController();
let nowMs: number;
let source: { store: MemoryStore; keys: MemoryKeys; signal: AbortSignal };
beforeEach(() => {
  nowMs = START_MS;
  source = { store: new MemoryStore(), keys: new MemoryKeys(), signal };
});

/** Writes a pack of one part an hour, good for one hour. */
async function writePack(restore: string, parts: number): Promise<number> {
  using writer = new UndoPackWriter({
    ...{ instance, restore, ...source, firstPart: 0, retainMs: HOUR_MS },
    ...{ random: seededRandom(restore), clock: { ...steppingClock(0), nowMs: () => nowMs } },
  });
  for (let part = 0; part < parts; part++) {
    await writer.write(0, []);
    nowMs += HOUR_MS;
  }
  return writer.expiresMs;
}

const packs = async (): Promise<unknown> =>
  (await listUndoPacks(instance, source)).map(({ restore, parts }) => [restore, parts]);

describe('an undo pack', () => {
  it('is good from its last part on, however long its restore takes', async () => {
    expect(await writePack('rs-1', 4)).toBe(START_MS + 4 * HOUR_MS);
    const [pack] = await listUndoPacks(instance, source);
    expect(pack).toMatchObject({ createdMs: START_MS, expiresMs: START_MS + 4 * HOUR_MS });
  });

  it('stays while it is in use, and for a day after its time', async () => {
    for (const restore of ['rs-1', 'rs-2']) await writePack(restore, 2);
    const overMs = nowMs + 24 * HOUR_MS;
    const inUse = (...names: readonly string[]) => ({ inUse: () => Promise.resolve(names) });
    const early = { nowMs: START_MS + 26 * HOUR_MS - 1, ...inUse() };
    await removeExpiredPacks(instance, early, source);
    expect(await packs()).toEqual([
      ['rs-1', 2],
      ['rs-2', 2],
    ]);
    await removeExpiredPacks(instance, { nowMs: overMs, ...inUse('rs-1') }, source);
    expect(await packs()).toEqual([['rs-1', 2]]);
    await removeExpiredPacks(instance, { nowMs: overMs, ...inUse() }, source);
    expect(await packs()).toEqual([]);
  });

  it('is not let go of while a restore of its instance is at work', async () => {
    await writePack('rs-1', 2);
    const atMs = nowMs + 24 * HOUR_MS;
    const lease = { lease: 'ls-1', purpose: 'restore', fromSecond: 1, untilMs: atMs + 1 } as const;
    const state = { ...EMPTY_WRITER_STATE, lastEntryMs: atMs };
    const expire = (leases: readonly Lease[]): Promise<readonly string[]> =>
      expireUndoPacks(instance, false, {
        ...source,
        clock: steppingClock(atMs),
        catalog: {
          writers: () => [{ shard: '0', writer: 'w', source: 'aof', state }],
          instance: () => ({ ...EMPTY_INSTANCE_STATE, leases }),
        },
        warn: (message) => expect.fail(message),
      });
    expect(await expire([lease])).toEqual([]);
    expect(await packs()).toEqual([['rs-1', 2]]);
    expect(await expire([{ ...lease, untilMs: atMs }])).toEqual(['rs-1']);
    expect(await packs()).toEqual([]);
  });

  it('that cannot be read stands in the way of no other one', async () => {
    await writePack('rs-1', 2);
    await writePack('rs-2', 3);
    await writePack('rs-3', 1);
    const overMs = nowMs + 24 * HOUR_MS;
    const [lastOf1, midOf2] = [undoPartKey(instance, 'rs-1', 1), undoPartKey(instance, 'rs-2', 1)];
    const bytes = Buffer.from(source.store.objects.get(lastOf1) ?? []);
    bytes.writeUInt8(bytes.readUInt8(COMMITMENT_AT) ^ 1, COMMITMENT_AT);
    source.store.tamper(lastOf1, bytes);
    source.store.tamper(midOf2, null);
    const { over, unread } = await findOverPacks(instance, overMs, source);
    expect(over).toEqual(['rs-2', 'rs-3']);
    expect(unread).toMatchObject([{ restore: 'rs-1', cause: { code: 'TM_SEAL_COMMITMENT' } }]);
    await removeExpiredPacks(instance, { nowMs: overMs, inUse: () => Promise.resolve([]) }, source);
    expect(source.store.keys(undoPrefix(instance))).toEqual([
      undoPartKey(instance, 'rs-1', 0),
      lastOf1,
    ]);
  });
});
