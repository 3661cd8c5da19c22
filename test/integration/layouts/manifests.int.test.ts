import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseManifest, probeAofDir, type AofManifest } from '@tidemark/aof';
import { beforeAll, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { NodeLife } from '../../support/node-life.ts';
import { describeWithServer } from '../../support/servers.ts';

beforeAll(buildAof, 120_000);

const NAME = 'the "log" of orders.aof';

describeWithServer('redis', '8.0', 'a manifest with quoted names and offsets', ({ binary }) => {
  const manifestOf = (life: NodeLife): AofManifest =>
    parseManifest(readFileSync(join(life.server.aofDir, `${NAME}.manifest`)));

  it('is read as the server writes it, through failed rewrites and a clean stop', async () => {
    await using life = await NodeLife.start({
      ...{ binary, lossyLog: true, config: { appendfilename: NAME } },
    });
    const client = await life.server.connect();
    await life.record();
    await client.config('SET', 'rdb-key-save-delay', '10000000');
    for (let failed = 0; failed < 2; failed++) {
      const end = life.rewrite();
      await life.record();
      process.kill(childOf(life.server.pid), 'SIGKILL');
      expect(await end).toBe(false);
    }
    await client.config('SET', 'rdb-key-save-delay', '0');
    const { base, incr } = manifestOf(life);
    expect([base?.name, base?.seq]).toEqual([`${NAME}.1.base.rdb`, 1]);
    expect(incr.map(({ name, seq }) => [name, seq])).toEqual(
      [1, 2, 3].map((seq) => [`${NAME}.${seq}.incr.aof`, seq]),
    );
    expect(incr.every(({ extra }) => /^\d+$/.test(extra['startoffset'] ?? ''))).toBe(true);
    expect(await probeAofDir(life.server.aofDir)).toMatchObject({
      ...{ manifestName: `${NAME}.manifest`, baseForm: 'rdb', incrCount: 3 },
    });
    await life.server.stop();
    expect(manifestOf(life).incr.at(-1)?.extra['endoffset']).toMatch(/^\d+$/);
    await life.server.restart();
    expect(manifestOf(life).incr.at(-1)?.extra).not.toHaveProperty('endoffset');
    await life.record();
    expect(await life.rewrite()).toBe(true);
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });
});

function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return Number(children.split(' ')[0]);
}
