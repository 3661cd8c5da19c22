import { readFile } from 'node:fs/promises';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

describe('a node that rewrites its log', () => {
  it('is followed through rewrites that succeed, that are killed, and three in a row', async () => {
    await using life = await NodeLife.start();
    const client = await life.server.connect();
    await life.record();
    expect(await life.rewrite()).toBe(true);
    await life.record();
    // Two that fail leave two more increments behind; the next one takes them all over.
    await client.config('SET', 'rdb-key-save-delay', '50000');
    for (let killed = 0; killed < 2; killed++) {
      const end = life.rewrite();
      await killChild(life.server.pid);
      expect(await end).toBe(false);
      await life.record();
    }
    await client.config('SET', 'rdb-key-save-delay', '0');
    for (let i = 0; i < 3; i++) expect(await life.rewrite()).toBe(true);
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });

  it('is followed through FLUSHALL and a reload of its own log', async () => {
    await using life = await NodeLife.start();
    const client = await life.server.connect();
    await life.record();
    await client.call('FLUSHALL');
    await life.record();
    await client.call('DEBUG', 'LOADAOF');
    await life.record();
    await client.call('FLUSHALL', 'ASYNC');
    await client.call('DEBUG', 'LOADAOF');
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });
});

/** Kills the child that writes the base, once there is one. */
async function killChild(pid: number): Promise<void> {
  for (;;) {
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim();
    if (children !== '') {
      process.kill(Number(children.split(' ')[0]), 'SIGKILL');
      return;
    }
    await systemClock.sleep(5);
  }
}
