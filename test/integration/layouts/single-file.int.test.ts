import { systemClock } from '@tidemark/system';
import { beforeAll, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { NodeLife } from '../../support/node-life.ts';
import { describeWithServer } from '../../support/servers.ts';

beforeAll(buildAof, 120_000);

describeWithServer('redis', '6.0', 'a single append-only file', ({ binary }) => {
  const start = (config: Readonly<Record<string, string>> = {}): Promise<NodeLife> =>
    NodeLife.start({ binary, old: true, config });

  it('is captured from its first command on, with restarts of archiver and server', async () => {
    await using life = await start();
    await life.record(2);
    await life.leave();
    const client = await life.server.connect();
    for (let i = 0; i < 100; i++) await client.incr('while-away');
    await life.attach();
    await life.record();
    await life.server.restart();
    await life.record(2);
    await life.expectHistory({ closed: [], holes: [] });
  });

  it.each([
    ['with', 'yes'],
    ['without', 'no'],
  ])(
    '%s RDB preamble is captured over rewrites, each file from its own base',
    async (_, preamble) => {
      await using life = await start({ 'aof-use-rdb-preamble': preamble });
      await life.record(2);
      await life.rewrite();
      await life.untilTimeline(2);
      await life.record(2);
      // The archiver is away for one more.
      await life.leave();
      await systemClock.sleep(1_500);
      await life.rewrite();
      await life.attach();
      await life.untilTimeline(3);
      await life.record(2);
      await life.expectHistory({ closed: ['rewrite-unobserved', 'rewrite-unobserved'] });
    },
  );
});
