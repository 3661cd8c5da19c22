import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench, INSTANCE, waitFor } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

describe('an archiver that was away', () => {
  it('finds what was written before one rewrite in its pin, and names the hole behind it', async () => {
    await using life = await NodeLife.start();
    await life.record();
    await life.leave();
    await life.record(2); // what its pins hold
    expect(await life.rewrite()).toBe(true);
    await life.attach();
    await life.record(2);
    await life.expectHistory({ closed: ['rewrite-unobserved'] });
  });

  it('names a hole after several rewrites, and has a snapshot behind it', async () => {
    await using life = await NodeLife.start();
    await life.record(2);
    await life.leave();
    for (let i = 0; i < 3; i++) {
      await life.record();
      expect(await life.rewrite()).toBe(true);
    }
    await life.attach();
    await life.record(2);
    const { closed, holes } = {
      closed: ['rewrite-unobserved'],
      holes: ['rewrite-unobserved'],
    } as const;
    await life.expectHistory({ closed, holes });
  });

  it('goes on with an idle node in the same timeline, however often it is started', async () => {
    await using life = await NodeLife.start();
    for (let i = 0; i < 2; i++) {
      await life.leave();
      await life.attach();
    }
    await life.record();
    await life.leave();
    await life.attach();
    await life.record();
    expect(await life.bench.events('TimelineOpened')).toHaveLength(1);
    expect(await life.bench.events('SnapshotStored')).toHaveLength(1);
    await life.expectHistory({ closed: [], holes: [] });
  });

  it('goes on with a timeline that has no snapshot yet, and stores the one at its start', async () => {
    await using bench = await ArchiverBench.open();
    const client = await bench.server.connect();
    bench.store.onPut = (key) => {
      if (key.includes('/rdb/')) throw new Error('no snapshot for now');
    };
    for (let i = 0; i < 2; i++) {
      const archiver = bench.start();
      await archiver.until('caught-up');
      await client.set('key', i);
      await archiver.ask('roll');
      await archiver.stop();
      // As if it had been killed before the snapshot was sealed.
      await rm(join(bench.stateDir(), 'spool', INSTANCE), { recursive: true });
    }
    bench.store.onPut = () => undefined;
    expect(await bench.events('SnapshotStored')).toEqual([]);
    const archiver = bench.start();
    await waitFor(async () => (await bench.events('SnapshotStored')).length > 0);
    await archiver.stop();
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    expect(await bench.events('SnapshotStored')).toMatchObject([{ offset: 0n, mode: 'attach' }]);
  });
});
