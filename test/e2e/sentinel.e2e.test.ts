import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { MASTER, SentinelSet, waitUntil } from '../support/sentinel-set/sentinel-set.ts';
import { Tidemark } from '../support/tidemark-cli.ts';

const ID = 'orders';

describe('an instance behind Sentinels', () => {
  it('is added, shown, followed through a failover and restored, by the command line', async () => {
    await using set = await SentinelSet.start({ nodes: 2 });
    await using tidemark = await Tidemark.init();
    const sentinels = set.sentinels.map(({ address }) => `127.0.0.1:${address.port}`).join(',');
    const url = (name: string): string => `redis+sentinel://${sentinels}/${name}`;
    const add = ['instance', 'add', ID, '--source', 'psync', '-u'];
    const unknown = await tidemark.refused(2, ...add, url('other'));
    expect(unknown).toMatchObject({
      code: 'TM_SENTINEL_MASTER',
      hint: expect.stringContaining(MASTER) as unknown,
    });
    expect(await tidemark.refused(2, ...add, `${url(MASTER)}?db=1`)).toMatchObject({
      code: 'TM_USAGE',
    });
    await tidemark.json(...add, url(MASTER));
    expect(await tidemark.json('instance', 'show', ID)).toMatchObject({
      url: url(MASTER),
      node: { role: 'master' },
    });
    const archiver = await tidemark.serve();
    const before = await set.primary();
    const writer = await before.connect();
    await writer.set('key', 'before');
    await tidemark.untilProven(ID, Number((await writer.time())[0]));
    await set.failover();
    const after = await set.newPrimary(before);
    const status = async (): Promise<string> => JSON.stringify(await tidemark.json('status'));
    await waitUntil('the status names the new primary', async () =>
      (await status()).includes(`redis://127.0.0.1:${after.port}`),
    );
    // Where the old primary had more than this one got, a new timeline begins.
    await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
    const next = await after.connect();
    await next.set('key', 'after');
    const written = Number((await next.time())[0]);
    while (Math.floor(Date.now() / 1000) <= written) await delay(50);
    await tidemark.untilProven(ID, written);
    await using target = await startRedis({ aof: false });
    await tidemark.restore(ID, written, target);
    expect(await (await target.connect()).get('key')).toBe('after');
    expect(await archiver.stop()).toBe(0);
  });
});
