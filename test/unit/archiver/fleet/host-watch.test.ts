import { describe, expect, it } from 'vitest';
import { createInstance, openInstanceLog, openWriterLog, type WriterLog } from '@tidemark/catalog';
import { ownerOf } from '../../../../services/archiver/src/fleet/log-owner.ts';
import { goneSamples } from '../../../../services/archiver/src/fleet/gone-samples.ts';
import { HostWatch } from '../../../../services/archiver/src/fleet/host-watch.ts';
import type { Logger } from '../../../../services/archiver/src/logger.ts';
import { closed, opened } from '../../../support/log-events.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const START_MS = 1_800_000_000_000;

/** Instances in a store, and a watch over the hosts that capture them. */
class Bench {
  readonly clock: SteppingClock = steppingClock(START_MS);
  readonly store = new MemoryStore();
  readonly keys = new MemoryKeys();
  readonly random = seededRandom('host watch');
  readonly told: string[] = [];
  readonly watch: HostWatch;

  constructor(
    isHere: (instance: string) => boolean = () => false,
    isShared: (instance: string) => boolean = () => false,
    heartbeatMs = 5_000,
  ) {
    const { clock, store, keys, random } = this;
    const take = (message: string): void => void this.told.push(message);
    const logger: Logger = { info: take, warn: take, error: take, child: () => logger };
    this.watch = new HostWatch({
      clock,
      store,
      keys,
      random,
      logger,
      isHere,
      isShared,
      heartbeatMs,
    });
  }

  /** An instance that a host captures through a source. */
  async captured(
    iid: string,
    source: 'aof' | 'psync',
    ownerId = `host-of-${iid}`,
  ): Promise<WriterLog> {
    const { clock, store, keys, random } = this;
    const logKey = await keys.logKey();
    const ports = { store, iid, logKey, clock, random };
    await createInstance({ ...ports, name: iid, createdMs: clock.nowMs() });
    return this.claimed(iid, source, ownerId);
  }

  /** The log of an instance that is captured through a source from now on. */
  async claimed(iid: string, source: 'aof' | 'psync', ownerId: string): Promise<WriterLog> {
    const { clock, store, keys, random } = this;
    const ports = { store, iid, logKey: await keys.logKey(), clock, random };
    const instance = await openInstanceLog(ports);
    const atMs = clock.nowMs();
    const writer = `w-${iid}-${source}`;
    await instance.append(() => ({ type: 'WriterRegistered', shard: '0', writer, source, atMs }));
    const log = await openWriterLog({ ...ports, shard: '0', writer });
    await log.claim({ ownerId, takeOver: false });
    return log;
  }

  async beat(log: WriterLog): Promise<void> {
    const atMs = this.clock.nowMs();
    await log.append({ type: 'Heartbeat', timeline: null, offset: 0n, provenTo: null, atMs });
  }

  async look(): Promise<readonly string[]> {
    await this.watch.look(new AbortController().signal);
    return this.watch.gone.map(({ instance }) => instance);
  }
}

describe('the host of append-only files', () => {
  it('is told of once when it shows no life, and again when it is back', async () => {
    const bench = new Bench();
    const log = await bench.captured('orders', 'aof');
    for (let looks = 0; looks < 10; looks++) {
      expect(await bench.look()).toEqual([]);
      bench.clock.now += 20_000;
      await bench.beat(log);
    }
    const lastMs = bench.clock.now;
    for (let looks = 0; looks < 4; looks++) {
      expect(await bench.look()).toEqual([]);
      bench.clock.now += 20_000;
    }
    for (let looks = 0; looks < 3; looks++) expect(await bench.look()).toEqual(['orders']);
    const [gone] = bench.watch.gone;
    expect(gone).toEqual({ instance: 'orders', owner: 'host-of-orders', lastEntryMs: lastMs });
    expect(goneSamples(bench.watch.gone)).toMatchObject([
      { labels: { instance: 'orders' }, value: 1 },
    ]);
    await bench.beat(log);
    expect(await bench.look()).toEqual([]);
    expect(bench.told).toEqual(['aof-host-gone', 'aof-host-back']);
  });

  it('that was gone before anybody watched is told of at the first look', async () => {
    const bench = new Bench();
    await bench.captured('orders', 'aof');
    bench.clock.now += 3_600_000;
    expect(await bench.look()).toEqual(['orders']);
  });

  it("is nobody's alarm when it ended in good order, or captures here", async () => {
    const bench = new Bench((instance) => instance === 'here');
    await (await bench.captured('ended', 'aof')).release();
    await (await bench.captured('ended-too', 'psync')).release();
    await bench.captured('here', 'aof');
    bench.clock.now += 3_600_000;
    expect(await bench.look()).toEqual([]);
  });

  it('is told of no more when its instance was removed', async () => {
    const bench = new Bench();
    await bench.captured('orders', 'aof');
    bench.clock.now += 3_600_000;
    expect(await bench.look()).toEqual(['orders']);
    for (let looks = 0; looks < 20; looks++) expect(await bench.look()).toEqual(['orders']);
    const { clock, store, keys, random } = bench;
    const logKey = await keys.logKey();
    const log = await openInstanceLog({ store, iid: 'orders', logKey, clock, random });
    await log.append(() => ({ type: 'InstanceRemoved', atMs: clock.nowMs() }));
    let found: readonly string[] = [];
    for (let looks = 0; looks < 20; looks++) found = await bench.look();
    expect(found).toEqual([]);
    expect(bench.told).toEqual(['aof-host-gone']);
  });

  it('is not missed before four of its heartbeats, where those are far apart', async () => {
    const bench = new Bench(undefined, undefined, 60_000);
    await bench.captured('orders', 'aof');
    await bench.captured('cart', 'psync');
    expect(await bench.look()).toEqual([]);
    bench.clock.now += 239_000;
    expect(await bench.look()).toEqual([]);
    bench.clock.now += 60_000;
    expect(await bench.look()).toEqual(['cart', 'orders']);
  });

  it('is told of though the log of another instance is damaged', async () => {
    const bench = new Bench();
    const damaged = await bench.captured('a', 'aof');
    await bench.captured('b', 'aof');
    expect(await bench.look()).toEqual([]);
    await bench.beat(damaged);
    const newest = bench.store.keys('v1/instance/a/0/').at(-1) ?? '';
    bench.store.tamper(newest, Buffer.alloc(100));
    expect(await bench.look()).toEqual([]);
    bench.clock.now += 3_600_000;
    expect(await bench.look()).toEqual(['b']);
    expect(bench.told).toEqual(['host-watch', 'aof-host-gone']);
  });

  it('is found when its instance is added later', async () => {
    const bench = new Bench();
    expect(await bench.look()).toEqual([]);
    await bench.captured('later', 'aof');
    let found: readonly string[] = [];
    for (let looks = 0; looks < 20; looks++) {
      bench.clock.now += 20_000;
      found = await bench.look();
    }
    expect(found).toEqual(['later']);
  });
});

describe('an instance that any host could capture', () => {
  it('is told of when its log is silent for longer than any takeover, and again when one goes on', async () => {
    const bench = new Bench();
    const log = await bench.captured('orders', 'psync');
    expect(await bench.look()).toEqual([]);
    bench.clock.now += 60_000;
    expect(await bench.look()).toEqual([]);
    bench.clock.now += 60_000;
    expect(await bench.look()).toEqual(['orders']);
    await bench.beat(log);
    bench.clock.now += 60_000;
    expect(await bench.look()).toEqual([]);
    expect(bench.told).toEqual(['capture-gone', 'capture-back']);
  });

  it('is told of when its host let go and nobody went on, but not when its capture was to end', async () => {
    const bench = new Bench(undefined, (instance) => instance !== 'alone');
    for (const id of ['orders', 'ended', 'alone']) {
      const log = await bench.captured(id, 'psync');
      await log.append(opened());
      if (id === 'ended') await log.append(closed(0n, { reason: 'detached' }));
      await log.release();
    }
    bench.clock.now += 3_600_000;
    expect(await bench.look()).toEqual(['orders']);
  });

  it('is no alarm when another source of it is captured, or a one-off backup of it was killed', async () => {
    const bench = new Bench();
    await bench.captured('orders', 'aof');
    await bench.look();
    bench.clock.now += 3_600_000;
    const log = await bench.claimed('orders', 'psync', 'another-host');
    expect(await bench.look()).toEqual([]);
    bench.clock.now += 60_000;
    await bench.beat(log);
    expect(await bench.look()).toEqual([]);
    await bench.captured('dumped', 'psync', 'dump-1');
    for (let looks = 0; looks < 20; looks++) {
      bench.clock.now += 60_000;
      await bench.beat(log);
      expect(await bench.look()).toEqual([]);
    }
    expect(bench.told).toEqual([]);
  });
});

describe('the owner that status shows', () => {
  it('is the one of the log that was written to last', async () => {
    const bench = new Bench();
    const log = await bench.captured('orders', 'aof');
    const writers = (state: WriterLog['state']) =>
      [{ shard: '0', writer: 'w', source: 'aof', state }] as const;
    const owner = { id: 'host-of-orders', generation: 1, source: 'aof', lastEntryMs: START_MS };
    expect(ownerOf([], START_MS)).toBeNull();
    expect(ownerOf(writers(log.state), START_MS + 59_999)).toEqual({ ...owner, state: 'alive' });
    expect(ownerOf(writers(log.state), START_MS + 60_000)).toEqual({ ...owner, state: 'gone' });
    const before = log.state;
    bench.clock.now += 5_000;
    await log.release();
    const all = [...writers(log.state), ...writers(before)];
    expect(ownerOf(all, START_MS + 90_000)).toMatchObject({ state: 'released' });
  });
});
