import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { NodeLife } from '../../support/node-life.ts';
import { startRedis } from '../../support/redis-server.ts';

beforeAll(buildAof, 120_000);

describe('a node whose log is broken off', () => {
  it('has a hole while its append-only file is off, also when names come again', async () => {
    await using life = await NodeLife.start();
    const client = await life.server.connect();
    await life.record();
    await life.untilProven();
    await client.config('SET', 'appendonly', 'no');
    await life.record(2);
    await client.config('SET', 'appendonly', 'yes');
    await life.untilTimeline(2);
    await life.record(2);
    // Off, rewritten and started again: its next increment has the seq of its first one.
    await client.config('SET', 'appendonly', 'no');
    await life.record(2);
    expect(await life.rewrite()).toBe(true);
    await life.server.restart();
    expect(readdirSync(life.server.aofDir)).toContain('appendonly.aof.1.incr.aof');
    await life.untilTimeline(3);
    await life.record(2);
    await life.expectHistory({ closed: ['aof-off', 'aof-off'], holes: ['aof-off', 'aof-off'] });
  });

  it('has a hole while it takes the data of a master over, and none when it is one again', async () => {
    await using life = await NodeLife.start();
    await using master = await startRedis({ aof: false, config: { databases: '4' } });
    const client = await life.server.connect();
    await life.record(2);
    await client.config('SET', 'rdb-key-save-delay', '20000'); // its new base takes a while
    await client.call('REPLICAOF', '127.0.0.1', master.port);
    await life.record(2, master);
    await client.config('SET', 'rdb-key-save-delay', '0');
    await life.untilTimeline(2);
    await life.record(2, master);
    await client.call('REPLICAOF', 'NO', 'ONE');
    await life.record(2);
    // It depends on whether a sample came while the log was off.
    const [event] = await life.bench.events('TimelineClosed');
    const reason = event?.type === 'TimelineClosed' ? event.reason : 'detached';
    expect(['aof-off', 'rewrite-unobserved']).toContain(reason);
    const windows = await life.expectHistory({ closed: [reason] });
    expect(windows.ranges.length).toBeGreaterThan(1);
  });
});
