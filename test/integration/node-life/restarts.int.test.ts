import { appendFileSync } from 'node:fs';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { newestIncr } from '../../support/aof-writer.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

describe('a node that is stopped, killed and started again', () => {
  it.each(['always', 'everysec', 'no'])('is followed on with appendfsync %s', async (mode) => {
    await using life = await NodeLife.start({ config: { appendfsync: mode } });
    await life.record();
    await life.server.kill();
    await life.server.restart();
    await life.record();
    await life.server.restart(); // SIGTERM first
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });

  it('is followed on when a crash left a command torn, which its start cuts off', async () => {
    await using life = await NodeLife.start();
    await life.record();
    await life.server.kill();
    appendFileSync(newestIncr(life.server), '*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$9\r\nhalf of');
    await systemClock.sleep(300); // the archiver reads it
    await life.server.restart();
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });
});
