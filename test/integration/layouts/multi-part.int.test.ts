import { appendFileSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { manifestOf } from '../../support/aof-writer.ts';
import { buildAof } from '../../support/aof-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

/** A second passes of which nothing is known. */
const GAP_MS = 1_500;

describe('a node without RDB preambles', () => {
  const config = { 'aof-use-rdb-preamble': 'no', 'aof-timestamp-enabled': 'yes' };

  it('is restored at every second, through rewrites and restarts of the archiver', async () => {
    await using life = await NodeLife.start({ config, lossyLog: true });
    await life.record(2);
    await life.leave();
    await life.attach();
    await life.record();
    expect(await life.rewrite()).toBe(true);
    await life.record();
    // A base of commands lies there now; an archiver that comes back goes on behind it.
    expect(manifestOf(life.server).base?.name).toMatch(/\.base\.aof$/);
    await life.leave();
    await life.attach();
    await life.record();
    await expect(life.archiver.ask('backup')).rejects.toMatchObject({
      code: 'TM_AOF_BASE',
      hint: expect.stringContaining('aof-use-rdb-preamble yes') as unknown,
    });
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });

  it('is captured from a base of commands that was there before', async () => {
    await using life = await NodeLife.start({ config, lossyLog: true });
    await life.record();
    await life.leave();
    await systemClock.sleep(GAP_MS);
    await life.rewrite();
    await life.rewrite();
    await life.attach();
    await life.untilTimeline(2);
    await life.record(2);
    const client = await life.server.connect();
    await client.config('SET', 'aof-use-rdb-preamble', 'yes');
    await life.archiver.ask('backup');
    await life.record();
    await life.expectHistory({ closed: ['rewrite-unobserved'] });
  });
});

describe('a node that was upgraded from 6.x', () => {
  it('is captured from its single file: an RDB and commands', async () => {
    await using life = await NodeLife.start({ unstamped: true });
    const { server } = life;
    await life.record();
    await life.rewrite();
    await life.record();
    await life.leave();
    await server.stop();
    await systemClock.sleep(GAP_MS);
    // As 6.x leaves it; a server of 7.0 takes it over when it starts.
    const { base, incr } = manifestOf(server);
    const single = join(server.dir, 'appendonly.aof');
    copyFileSync(join(server.aofDir, base?.name ?? ''), single);
    appendFileSync(single, readFileSync(join(server.aofDir, incr.at(-1)?.name ?? '')));
    rmSync(server.aofDir, { recursive: true });
    await server.restart();
    expect(manifestOf(server).base?.name).toBe('appendonly.aof');
    await life.attach();
    await life.untilTimeline(2);
    await life.record(2);
    await life.leave();
    await life.attach();
    await life.record();
    expect(await life.rewrite()).toBe(true);
    await life.record(2);
    const windows = await life.expectHistory({ closed: ['rewrite-unobserved'] });
    expect(windows.ranges).toHaveLength(2);
  });
});
