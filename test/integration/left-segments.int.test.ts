import { describe, expect, it } from 'vitest';
import type { Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { detachOffline } from '../../services/archiver/src/close-log.ts';
import { ArchiverBench, INSTANCE, waitFor, type CaptureOf } from '../support/archiver-run.ts';

/** The end of a capture waits half a minute for a store that is away: here it does not. */
const impatient: Clock = {
  nowMs: () => systemClock.nowMs(),
  monotonicMs: () => systemClock.monotonicMs(),
  sleep: (ms, signal) => systemClock.sleep(ms === 30_000 ? 100 : ms, signal),
};

/** A run that ended while the store was away: a segment with the key `left` lies in its spool. */
async function openLeft(source: CaptureOf): Promise<ArchiverBench> {
  const bench = await ArchiverBench.open({ source });
  const client = await bench.server.connect();
  const archiver = await bench.begin({ clock: impatient, limits: { rollMaxAgeMs: 50 } });
  await client.set('before', 'b');
  await archiver.ask('roll');
  bench.store.down = true;
  await client.set('left', 'l');
  await waitFor(async () => (await archiver.status()).backlogBytes > 0);
  await expect(archiver.stop()).rejects.toMatchObject({ code: 'TM_STORE_IO' });
  bench.store.down = false;
  expect(await bench.events('TimelineClosed')).toEqual([]);
  return bench;
}

describe('segments that a run left in its spool', () => {
  it.each<CaptureOf>(['aof', 'psync'])(
    'are stored before the timeline is closed by a detach without an archiver (%s)',
    async (source) => {
      await using bench = await openLeft(source);
      expect((await bench.storedCommands()).toString('latin1')).not.toContain('left');
      await detachOffline(INSTANCE, {
        ...{ stateDir: bench.stateDir(), store: bench.store, keys: bench.keys, takeOver: false },
        ...{ clock: systemClock, random: systemRandom, heartbeatMs: 20_000 },
      });
      expect((await bench.storedCommands()).toString('latin1')).toContain('left');
      const [segment] = (await bench.events('SegmentStored')).slice(-1);
      const [closed] = await bench.events('TimelineClosed');
      expect(closed).toMatchObject({ reason: 'detached' });
      if (segment?.type !== 'SegmentStored' || closed?.type !== 'TimelineClosed') return;
      expect(closed.offset).toBe(segment.segment.end);
    },
  );

  it('are stored before the timeline is closed by a change of source', async () => {
    await using bench = await openLeft('aof');
    const { id, address } = bench.target();
    const next = bench.start({ instances: [{ id, address }] });
    await next.until('caught-up');
    const events = await bench.events();
    const closed = events.findIndex(({ type }) => type === 'TimelineClosed');
    expect(events[closed - 1]).toMatchObject({ type: 'SegmentStored' });
    expect(events[closed]).toMatchObject({ reason: 'detached' });
    await next.stop();
  });

  it('stay where they are while the store is away, and the timeline is not closed', async () => {
    await using bench = await openLeft('aof');
    bench.store.down = true;
    const setting = {
      ...{ stateDir: bench.stateDir(), store: bench.store, keys: bench.keys, takeOver: false },
      ...{ clock: impatient, random: systemRandom, heartbeatMs: 20_000 },
    };
    await expect(detachOffline(INSTANCE, setting)).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    bench.store.down = false;
    expect(await bench.events('TimelineClosed')).toEqual([]);
    await detachOffline(INSTANCE, setting);
    expect((await bench.storedCommands()).toString('latin1')).toContain('left');
  });
});
