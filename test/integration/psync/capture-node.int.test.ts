import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ArchiverBench, INSTANCE, waitFor } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';
import { startRedis } from '../../support/redis-server.ts';

/** Nothing that can be compressed: it takes as much of the spool. */
const NOISE_BYTES = 1_000_000;

describe('a node that is captured by replication', () => {
  it('may be a replica: it is followed in the database its stream is in, and through its promotion', async () => {
    await using primary = await startRedis({ aof: false, config: { databases: '4' } });
    await using life = await NodeLife.start({ source: 'psync' });
    // The first sample may be late: of two seconds one lies behind it.
    await life.record(2);
    const node = await life.server.connect();
    await node.call('REPLICAOF', '127.0.0.1', primary.port);
    await life.untilTimeline(2);
    await life.record(1, primary);
    // Its snapshot stands where no database is selected anew.
    await life.archiver.ask('backup');
    await life.record(1, primary);
    await node.call('REPLICAOF', 'NO', 'ONE');
    await life.record();
    await life.expectHistory({ closed: ['divergent-tail'] });
    const { link } = await life.archiver.status();
    expect(link).toMatchObject({ state: 'streaming', fullResyncs: 2, partialResyncs: 1 });
  });

  it('is let go while the spool is full, and followed anew when there is room', async () => {
    await using life = await NodeLife.start({
      source: 'psync',
      config: { 'repl-backlog-size': '16kb' },
      archiver: { spoolBytesMax: 4 * NOISE_BYTES },
    });
    await life.record();
    await life.untilProven();
    life.bench.store.down = true;
    const node = await life.server.connect();
    const state = async (): Promise<string | undefined> =>
      (await life.archiver.status()).link?.state;
    for (let writes = 0; writes < 40 && (await state()) !== 'full'; writes++) {
      await node.set('noise', randomBytes(NOISE_BYTES));
    }
    expect(await state()).toBe('full');
    await node.set('noise', randomBytes(NOISE_BYTES));
    await node.del('noise');
    life.bench.store.down = false;
    await life.untilTimeline(2);
    await life.record();
    await life.expectHistory({ closed: ['spool-full'] });
  });

  it('is told of when its snapshot does not fit into the spool, and followed once it does', async () => {
    const options = { source: 'psync', config: { save: '' } } as const;
    await using bench = await ArchiverBench.open(options);
    const node = await bench.server.connect();
    await node.set('noise', randomBytes(3 * NOISE_BYTES));
    const archiver = bench.start({ spoolBytesMax: NOISE_BYTES });
    await archiver.until('full-resync');
    await waitFor(async () => (await archiver.status()).link?.error?.code === 'TM_SPOOL');
    expect(await archiver.status()).toMatchObject({
      linkError: expect.stringContaining('the wire spool has reached its limit') as unknown,
    });
    await node.del('noise');
    await archiver.until('snapshot');
    expect(await archiver.status()).toMatchObject({ linkError: null, snapshots: 1 });
  });

  it('may be empty', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    const latest = async (): Promise<number | null> =>
      (await life.bench.withCatalog((catalog) => catalog.windows(INSTANCE))).latest;
    await waitFor(async () => {
      await life.archiver.ask('roll');
      return (await latest()) !== null;
    });
    const second = (await latest()) ?? 0;
    const { value } = await life.restoreAndRead(second, (client) => client.dbsize());
    expect(value).toBe(0);
  });

  it('is captured from its files again after a change of source, with the history of both', async () => {
    await using life = await NodeLife.start({ source: 'psync', config: { appendonly: 'yes' } });
    await life.record();
    await life.untilProven();
    await life.leave();
    const { server } = life;
    const target = { ...life.bench.target(), aofDir: server.aofDir };
    const archiver = await life.bench.begin({ instances: [target], limits: { rollMaxAgeMs: 100 } });
    expect(await archiver.status()).toMatchObject({ source: 'aof', link: null });
    const closed = await life.bench.events('TimelineClosed');
    expect(closed).toMatchObject([{ reason: 'detached' }]);
    const writers = await life.bench.withCatalog((catalog) => catalog.writers(INSTANCE));
    expect(writers).toHaveLength(2);
    const { second } = life.recorded[0]!;
    const { value } = await life.restoreAndRead(second, (client) => client.dbsize());
    expect(value).toBe(life.recorded[0]!.oracle.databases.get(0)?.dbSize ?? 0);
  });
});
