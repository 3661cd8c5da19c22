import { setTimeout as delay } from 'node:timers/promises';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { WriterEvent } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { beforeAll, describe, expect, it } from 'vitest';
import { detachOffline } from '../../services/archiver/src/close-log.ts';
import { buildAof } from '../support/aof-run.ts';
import { ArchiverBench, INSTANCE, waitFor } from '../support/archiver-run.ts';
import { patternBytes } from '../support/pattern.ts';

/** Thirty seconds of the end pass in a third of one. */
const impatientClock: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) => systemClock.sleep(delayMs >= 30_000 ? 300 : delayMs, signal),
};

beforeAll(buildAof);

let number = 0;
async function write(client: Redis, count = 100, valueBytes = 10): Promise<void> {
  const pipeline = client.pipeline();
  for (let i = 0; i < count; i++) {
    pipeline.set(`key:${i}`, patternBytes(valueBytes, ++number));
  }
  await pipeline.exec();
}

/** Every byte of the server's log is stored, each once, in segments that join. */
async function expectWhole(bench: ArchiverBench): Promise<void> {
  const [stored, written] = [await bench.storedCommands(), await bench.serverCommands()];
  expect(stored.length).toBe(written.length);
  expect(stored.equals(written)).toBe(true);
  let end = 0n;
  for (const event of await bench.events('SegmentStored')) {
    if (event.type !== 'SegmentStored') continue;
    expect(event.segment.start).toBe(end);
    end = event.segment.end;
  }
}

const types = (events: readonly WriterEvent[]): string[] => events.map(({ type }) => type);

describe('Archiver', () => {
  it('ships the open segment and releases its log when it is told to stop', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const archiver = await bench.begin();
    await write(client);
    // Told to stop, it reads no further: the files keep the rest. It looks every 200 ms.
    await delay(1_000);
    await archiver.stop();
    const all = await bench.events();
    // The facts of the node come when it has answered.
    const events = all.filter(({ type }) => type !== 'NodeFactsStored');
    expect(types(events).slice(0, 3)).toEqual(['OwnerClaimed', 'TimelineOpened', 'SnapshotStored']);
    expect(types(events).filter((type) => type === 'SegmentStored')).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ type: 'Released', generation: 1 });
    await expectWhole(bench);
    // The next one need not wait, and goes on in the same timeline.
    const next = bench.start({ state: 'other-host' });
    await next.until('caught-up');
    await write(client);
    await next.ask('roll'); // told to stop at once, it would leave this to the next one
    await next.stop();
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    await expectWhole(bench);
  });

  it('is refused while another holds its spool or owns its log, and can take the log over', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const first = await bench.begin();
    await expect(bench.start().done).rejects.toMatchObject({ code: 'TM_LOG_OWNER', exitCode: 11 });
    await expect(bench.start({ state: 'other' }).done).rejects.toMatchObject({
      ...{ code: 'TM_LOG_OWNER', exitCode: 11 },
      hint: expect.stringContaining('--take-over') as unknown,
    });
    await write(client);
    await first.ask('roll');
    const second = bench.start({ state: 'other', takeOver: true });
    await second.until('caught-up');
    await write(client);
    await expect(first.ask('roll')).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    await expect(first.done).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    await second.stop();
    await expectWhole(bench);
    expect(await bench.events('OwnerClaimed')).toMatchObject([
      { generation: 1, tookOver: false },
      { generation: 2, tookOver: true },
    ]);
  });

  it('rolls when it is asked to: what was written before is durable and proven', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const archiver = await bench.begin();
    await write(client);
    const second = Math.floor(Date.now() / 1000);
    await waitFor(() => Date.now() >= (second + 1) * 1000);
    const { provenTo } = (await archiver.ask('roll')) as { provenTo: number };
    expect(provenTo).toBeGreaterThanOrEqual(second);
    await expectWhole(bench);
    const status = await archiver.status();
    expect(status).toMatchObject({
      ...{ instance: INSTANCE, state: 'caught-up', pinClass: 'pinned', lagBytes: 0 },
      ...{ storeError: null, linkError: null, segments: 1, snapshots: 1, provenTo },
      durableOffset: String((await bench.serverCommands()).length),
    });
    expect(status.lagSeconds).toBeLessThanOrEqual(2);
  });

  it('makes one backup at a time, aligned with the rewrite that it asked for', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const archiver = await bench.begin();
    await write(client);
    const before = BigInt((await bench.serverCommands()).length);
    const backup = archiver.ask('backup') as Promise<{ backup: string; offset: string }>;
    await expect(archiver.ask('backup')).rejects.toMatchObject({ code: 'TM_BUSY', exitCode: 11 });
    const { backup: id, offset } = await backup;
    expect(offset).toBe(before.toString());
    const snapshots = await bench.events('SnapshotStored');
    expect(snapshots).toMatchObject([
      { mode: 'attach', offset: 0n },
      { mode: 'manual', backup: id, offset: before, summary: { keys: 100 } },
    ]);
    await expect(archiver.ask('backup', 'unknown')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  });

  it('takes an instance up and lets it go while it runs', async () => {
    await using bench = await ArchiverBench.open();
    const archiver = bench.start({ instances: [] });
    await archiver.until('no-instances');
    await expect(archiver.ask('roll')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
    await expect(archiver.ask('attach', 'unknown')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
    await archiver.ask('attach');
    await archiver.until('caught-up');
    await archiver.ask('attach'); // it has it
    await archiver.ask('detach');
    // The snapshot under way may be finished after the timeline is closed.
    expect(await bench.events('TimelineClosed')).toMatchObject([{ reason: 'detached' }]);
    expect((await bench.events()).at(-1)).toMatchObject({ type: 'Released' });
    await archiver.ask('detach');
    await archiver.stop();
  });
});

describe('detachOffline()', () => {
  it('closes what a stopped archiver left open; the next one begins with that reason', async () => {
    await using bench = await ArchiverBench.open();
    const archiver = await bench.begin();
    const setting = {
      ...{ stateDir: bench.stateDir(), store: bench.store, keys: bench.keys, takeOver: false },
      ...{ clock: systemClock, random: systemRandom, heartbeatMs: 20_000 },
    };
    await expect(detachOffline(INSTANCE, setting)).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    await archiver.stop();
    await detachOffline(INSTANCE, setting);
    const closed = { type: 'TimelineClosed', reason: 'detached' };
    expect((await bench.events()).slice(-2)).toMatchObject([closed, { type: 'Released' }]);
    await detachOffline(INSTANCE, setting);
    expect(await bench.events('TimelineClosed')).toHaveLength(1);
    const next = bench.start();
    await next.until('caught-up');
    await next.stop();
    expect((await bench.events('TimelineOpened')).at(-1)).toMatchObject({ reason: 'detached' });
  });
});

describe('Archiver, when the store is away', () => {
  it('says so, goes on when it is back, and loses nothing', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    // Signs of life fall into the time without a store too.
    const limits = { rollMaxAgeMs: 50, heartbeatMs: 150 };
    const archiver = await bench.begin({ limits });
    await write(client);
    bench.store.down = true;
    await waitFor(async () => (await archiver.status()).storeError !== null);
    for (let i = 0; i < 10; i++) {
      await write(client);
      await systemClock.sleep(60);
    }
    expect((await archiver.status()).storeError).toMatch(/store failed/);
    expect((await archiver.status()).lagBytes).toBeGreaterThan(0);
    expect(bench.store.refused).toBeGreaterThan(3);
    bench.store.down = false;
    await archiver.ask('roll');
    expect(await archiver.status()).toMatchObject({ storeError: null, lagBytes: 0 });
    await archiver.stop();
    await expectWhole(bench);
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
  });

  it('ends all the same when it is told to, with a code to try again, and loses nothing', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const archiver = await bench.begin({ clock: impatientClock });
    await write(client);
    await archiver.ask('roll');
    bench.store.down = true;
    await write(client);
    await expect(archiver.stop()).rejects.toMatchObject({ code: 'TM_STORE_IO', exitCode: 16 });
    bench.store.down = false;
    await write(client);
    const next = bench.start();
    await next.until('caught-up');
    await next.stop();
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    await expectWhole(bench);
  });

  it('has its first snapshot all the same when the store was away at the start', async () => {
    await using bench = await ArchiverBench.open();
    await write(await bench.server.connect());
    bench.store.onPut = (key) => {
      if (!key.startsWith('v1/keys/')) return;
      bench.store.down = true;
      bench.store.onPut = () => undefined;
      void systemClock.sleep(300).then(() => (bench.store.down = false));
    };
    const archiver = bench.start();
    await archiver.until('snapshot');
    await archiver.stop();
    expect(bench.store.refused).toBeGreaterThan(0);
    expect(await bench.events('SnapshotStored')).toMatchObject([{ mode: 'attach' }]);
  });
});

describe('the spool of an archiver', () => {
  it.each<[string, number]>([
    ['in the body of its entry', 10],
    ['as an object of its own', 20_000],
  ])('brings a segment back that was killed before its entry: %s', async (_, valueBytes) => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const first = await bench.begin();
    await write(client);
    await first.ask('roll');
    const killed = new Error('killed');
    bench.store.onPut = (key) => {
      if (key.includes('/log/')) throw killed;
    };
    await write(client, 100, valueBytes);
    await expect(first.ask('roll')).rejects.toMatchObject({ code: 'TM_INTERNAL' });
    await waitFor(async () => (await first.status()).failure !== null);
    expect((await first.status()).failure).toMatchObject({ code: 'TM_INTERNAL' });
    await first.stop(); // it would try again
    bench.store.onPut = () => undefined;
    const before = await bench.events('SegmentStored');
    expect(before).toHaveLength(1);
    await write(client);
    const next = bench.start();
    await next.until('recovered');
    await next.until('caught-up');
    await next.stop();
    expect(await bench.events('SegmentStored')).toHaveLength(3);
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    await expectWhole(bench);
  });

  it('makes the capture wait when it is full, and nothing is lost', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    const limits = { rollMaxBytes: 16_000 };
    const small = await bench.begin({ spoolBytesMax: 20_000, clock: impatientClock, limits });
    await write(client);
    await small.ask('roll');
    bench.store.down = true;
    // A segment that is alone is taken whatever its size; the next one finds no room.
    await waitFor(async () => {
      await write(client, 100, 1_000);
      return (await small.status()).storeError?.includes('spool has reached its limit') === true;
    });
    expect((await small.status()).backlogBytes).toBeGreaterThan(0);
    // The time of the end runs out in a pause between two tries, or within one.
    const code = expect.stringMatching(/^TM_(STORE_IO|SPOOL)$/) as unknown;
    await expect(small.stop()).rejects.toMatchObject({ code });
    bench.store.down = false;
    const next = bench.start();
    await next.until('caught-up');
    await next.stop();
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    await expectWhole(bench);
    expect(await readdir(join(bench.stateDir(), 'spool', INSTANCE))).toEqual([]);
  });
});
