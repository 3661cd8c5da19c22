import { describe, expect, it } from 'vitest';
import { createInstance } from '@tidemark/catalog';
import { watchReach } from '../../../../services/archiver/src/fleet/store-reach.ts';
import type { Logger } from '../../../../services/archiver/src/logger.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { failsBefore, MemoryStore } from '../../../support/memory-store.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

/** What was told by a watch over a store that holds one instance, in four looks. */
async function watched(
  instances: readonly string[],
  isAway = false,
): Promise<{ readonly reached: number; readonly told: readonly string[] }> {
  const clock = steppingClock(1_800_000_000_000);
  const [keys, random] = [new MemoryKeys(), seededRandom('store reach')];
  const told: string[] = [];
  const take = (message: string, fields?: object): void =>
    void told.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const logger: Logger = { info: take, warn: take, error: take, child: () => logger };
  const objects = new MemoryStore();
  const store = isAway ? objects.through(({ key }) => failsBefore(key)) : objects;
  const record = { store: objects, iid: 'orders', logKey: await keys.logKey(), clock, random };
  await createInstance({ ...record, name: 'orders', createdMs: 1 });
  let [looks, reached] = [0, 0];
  const over = new AbortController();
  const isAsked = (): boolean => {
    if (++looks > 4) over.abort(new Error('enough'));
    return looks <= 4;
  };
  const onReached = (): void => void (reached += 1);
  await watchReach({ store, keys, clock, logger, instances, isAsked, onReached }, over.signal);
  return { reached, told };
}

describe('watchReach', () => {
  it('tells of a store whose records open with the keys of this host', async () => {
    expect(await watched(['orders'])).toEqual({ reached: 4, told: [] });
    // One that was removed says nothing of the store.
    expect((await watched(['gone', 'orders'])).reached).toBe(4);
  });

  it('does not take a store that is away, or one that holds nothing, for one that is reached', async () => {
    const found = await watched(['orders'], true);
    expect(found.reached).toBe(0);
    expect(found.told).toHaveLength(1);
    expect(found.told[0]).toContain('TM_STORE_IO');
    expect((await watched(['gone'])).reached).toBe(0);
  });
});
