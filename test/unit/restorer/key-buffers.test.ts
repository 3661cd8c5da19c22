import { wrappedKeyKey } from '@tidemark/archive';
import { encodeWrappedDataKey, type DataKey } from '@tidemark/crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { openLog } from '../../../services/restorer/src/feeder/opened-log.ts';
import { UndoPackWriter } from '../../../services/restorer/src/write-back/undo/undo-pack-writer.ts';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { MemoryKeys } from '../../support/memory-keys.ts';
import { failsBefore, MemoryStore } from '../../support/memory-store.ts';

const PLACE = { instance: 'orders', shard: '0', writer: 'w-1' };
const NEVER = new AbortController().signal;
const ZEROS = Buffer.alloc(32);

/** Keeps every data key that it gave out. */
class WatchedKeys extends MemoryKeys {
  readonly given: DataKey[] = [];
  /** Every opening waits for it. */
  gate: Promise<void> = Promise.resolve();
  override async generateDataKey(
    context: Parameters<MemoryKeys['generateDataKey']>[0],
  ): ReturnType<MemoryKeys['generateDataKey']> {
    const made = await super.generateDataKey(context);
    this.given.push(made.dataKey);
    return made;
  }
  override async unwrapDataKey(
    ...asked: Parameters<MemoryKeys['unwrapDataKey']>
  ): Promise<DataKey> {
    await this.gate;
    const dataKey = await super.unwrapDataKey(...asked);
    this.given.push(dataKey);
    return dataKey;
  }
}

let keys: WatchedKeys;
let store: MemoryStore;
let dekId: string;
beforeEach(async () => {
  keys = new WatchedKeys();
  store = new MemoryStore();
  const source = { instance: PLACE.instance, purpose: 'segments' } as const;
  const { dataKey, wrapped } = await new MemoryKeys().generateDataKey(source);
  dekId = dataKey.id;
  store.tamper(wrappedKeyKey(PLACE.instance, dekId, 1), encodeWrappedDataKey(wrapped));
});

describe('openLog()', () => {
  it('opens a key once for all who ask at one time, and zero-fills it', async () => {
    const log = await openLog(PLACE, { store, keys }, NEVER);
    const { keyOf } = log.footers;
    const [one, two] = await Promise.all([keyOf(dekId), keyOf(dekId)]);
    expect(one).toBe(two);
    expect(one.key).not.toEqual(ZEROS);
    log[Symbol.dispose]();
    expect(keys.given.map(({ key }) => key)).toEqual([ZEROS]);
  });

  it('zero-fills a key that comes after it was closed', async () => {
    let open: () => void = () => undefined;
    keys.gate = new Promise((resolve) => (open = resolve));
    const log = await openLog(PLACE, { store, keys }, NEVER);
    const asked = log.footers.keyOf(dekId);
    log[Symbol.dispose]();
    open();
    await expect(asked).rejects.toMatchObject({ code: 'TM_USAGE' });
    expect(keys.given.map(({ key }) => key)).toEqual([ZEROS]);
  });

  it('asks anew for a key that could not be had', async () => {
    const path = wrappedKeyKey(PLACE.instance, dekId, 1);
    const bytes = store.objects.get(path)!;
    store.tamper(path, null);
    using log = await openLog(PLACE, { store, keys }, NEVER);
    await expect(log.footers.keyOf(dekId)).rejects.toMatchObject({ code: 'TM_STORE_MISSING' });
    store.tamper(path, bytes);
    expect((await log.footers.keyOf(dekId)).id).toBe(dekId);
  });
});

describe('UndoPackWriter', () => {
  it('zero-fills a new key whose wrapped form could not be stored', async () => {
    const away = store.through(({ op, key }) => (op === 'put' ? failsBefore(key) : undefined));
    using writer = new UndoPackWriter({
      ...{ instance: PLACE.instance, restore: 'rs-1', store: away, keys, firstPart: 0 },
      ...{ random: seededRandom('undo'), clock: standingClock(1), retainMs: 1_000, signal: NEVER },
    });
    await expect(writer.write(0, [])).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    expect(keys.given.map(({ key }) => key)).toEqual([ZEROS]);
  });
});
