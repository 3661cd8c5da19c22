import { appendFileSync, copyFileSync, renameSync, statSync, truncateSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { newestIncr } from '../../support/aof-writer.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

describe('a node whose log is not what it was', () => {
  it('begins a new timeline at a rewrite it asks for when the log cannot be read on', async () => {
    await using life = await NodeLife.start();
    await life.record(2);
    // The server writes on behind it, and could not load that log itself.
    appendFileSync(newestIncr(life.server), 'rubbish\r\n');
    await life.record(2);
    await life.untilTimeline(2);
    await life.record();
    await life.expectHistory({ closed: ['divergent-tail'], holes: ['divergent-tail'] });
  });

  it('begins a new timeline when its start cuts off what was archived', async () => {
    await using life = await NodeLife.start();
    await life.record(2);
    await life.server.kill();
    const path = newestIncr(life.server);
    const transaction = '*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$2\r\nno\r\n';
    appendFileSync(path, transaction);
    await life.archiver.ask('roll');
    await life.server.restart();
    await life.record(2);
    await life.expectHistory({ closed: ['divergent-tail'], holes: ['divergent-tail'] });
  });

  it.each(['alive', 'away'])(
    'begins a new timeline when half of a large command was archived that its start cuts off: archiver %s',
    async (archiver) => {
      await using life = await NodeLife.start();
      await life.record();
      await life.untilProven();
      await life.server.kill();
      const path = newestIncr(life.server);
      appendFileSync(path, '*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$3000000\r\n');
      appendFileSync(path, Buffer.alloc(2_000_000, 'x'));
      await waitFor(async () => {
        const [last] = (await life.bench.events('SegmentStored')).slice(-1);
        return last?.type === 'SegmentStored' && last.after.partialBytes > 1_500_000;
      });
      if (archiver === 'away') await life.leave();
      await life.server.restart();
      const client = await life.server.connect();
      // As long as what was cut off, so that the place of the archiver is within the file again.
      await client.set('other', Buffer.alloc(2_500_000, 'y'));
      if (archiver === 'away') await life.attach();
      await life.record(2);
      await life.expectHistory({ closed: ['divergent-tail'] });
    },
  );

  it('begins a new timeline when its log lost its end', async () => {
    await using life = await NodeLife.start();
    await life.record();
    const path = newestIncr(life.server);
    const { size } = statSync(path);
    await life.record(2); // what is lost now was there at the end of these seconds
    await life.untilProven();
    await life.server.stop();
    truncateSync(path, size);
    await life.server.restart();
    await life.record(2);
    await life.expectHistory({ closed: ['divergent-tail'] });
  });

  it('begins a new timeline when its log is another file of the same name', async () => {
    await using life = await NodeLife.start();
    await life.record(2);
    await life.server.stop();
    const path = newestIncr(life.server);
    copyFileSync(path, `${path}.copy`);
    renameSync(`${path}.copy`, path);
    await life.server.restart();
    await life.record(2);
    await life.expectHistory({ closed: ['divergent-tail'] });
  });

  it('begins a new timeline when it was emptied and filled anew', async () => {
    await using life = await NodeLife.start();
    await life.record(2);
    await life.server.stop();
    await rm(life.server.aofDir, { recursive: true });
    await systemClock.sleep(1_500);
    await life.server.restart();
    await life.untilTimeline(2);
    await life.record(2);
    await life.expectHistory({ closed: ['divergent-tail'], holes: ['divergent-tail'] });
  });
});
