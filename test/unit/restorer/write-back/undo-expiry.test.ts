import { EMPTY_INSTANCE_STATE, EMPTY_WRITER_STATE, type Lease } from '@tidemark/catalog';
import { beforeEach, describe, expect, it } from 'vitest';
import { expireUndoPacks } from '../../../../services/restorer/src/write-back/undo/expire-undo-packs.ts';
import {
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
});
