import { systemClock } from '@tidemark/system';
import { beforeAll, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { NodeLife } from '../../support/node-life.ts';
import { describeWithServer } from '../../support/servers.ts';
import { slowSave } from '../../support/slow-save.ts';

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

  it('goes on without a hole over rewrites while it is written, each a base of its own', async () => {
    await using life = await start();
    const client = await life.server.connect();
    await life.record();
    const rewrites = [() => life.rewrite(), () => life.archiver.ask('backup')];
    for (const rewrite of rewrites) {
      await slowSave(client);
      await systemClock.sleep(300); // a sample ends the second that was recorded
      const over = new AbortController();
      const ended = rewrite().finally(() => over.abort());
      while (!over.signal.aborted) {
        await client.incr('while-rewritten');
        await systemClock.sleep(2); // the archiver, in the same process, has work to do as well
      }
      expect(await ended).toBeTruthy();
      await client.config('SET', 'rdb-key-save-delay', '0');
      await life.record();
    }
    await life.leave();
    await life.attach();
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
    const snapshots = await life.bench.events('SnapshotStored');
    expect(snapshots).toMatchObject([
      { mode: 'attach' },
      { mode: 'automated' },
      { mode: 'manual' },
    ]);
  });

  it('that is switched off and on ends a timeline, whatever was written in between', async () => {
    await using life = await start();
    const client = await life.server.connect();
    await life.record();
    await systemClock.sleep(300); // a sample ends the second that was recorded
    await client.config('SET', 'appendonly', 'no');
    for (let i = 0; i < 100; i++) await client.incr('not-logged');
    await systemClock.sleep(1_000);
    await client.config('SET', 'appendonly', 'yes');
    await life.untilTimeline(2);
    await life.record();
    await life.expectHistory({ closed: ['aof-off'] });
  });

  it.each([
    ['with', 'yes'],
    ['without', 'no'],
  ])(
    '%s RDB preamble is captured over rewrites, each file from its own base',
    async (_, preamble) => {
      await using life = await start({ 'aof-use-rdb-preamble': preamble });
      await life.record();
      await life.rewrite();
      await life.untilTimeline(2);
      await life.record();
      // The archiver is away for one more.
      await life.leave();
      await systemClock.sleep(1_500);
      await life.rewrite();
      await life.attach();
      await life.untilTimeline(3);
      await life.record();
      await life.expectHistory({ closed: ['rewrite-unobserved', 'rewrite-unobserved'] });
    },
  );
});
