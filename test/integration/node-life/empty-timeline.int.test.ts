import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openWriterLog } from '@tidemark/catalog';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { INSTANCE } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

/** As an archiver does that is killed right after it has opened a new timeline. */
async function openAndDie({ bench }: NodeLife): Promise<void> {
  const [only] = await bench.withCatalog((catalog) => [...catalog.writers(INSTANCE)]);
  const { shard, writer } = only!;
  const logKey = await bench.keys.logKey(INSTANCE);
  const ports = { store: bench.store, logKey, clock: systemClock, random: systemRandom };
  const log = await openWriterLog({ ...ports, iid: INSTANCE, shard, writer });
  const ownerId = (await readFile(join(bench.stateDir(), 'spool', 'owner'), 'utf8')).trim();
  await log.claim({ ownerId, takeOver: false, heartbeatMs: 20_000 });
  const { timeline, end: offset, provenTo } = log.state.timeline!;
  const atMs = systemClock.nowMs();
  const reason = 'aof-off';
  await log.append({
    type: 'TimelineClosed',
    ...{ timeline, offset, reason, provenTo, detail: 'as if', atMs },
  });
  await log.append({
    type: 'TimelineOpened',
    ...{ timeline: 'killed', source: 'aof', reason, previous: timeline, atMs },
    node: { runId: 'unknown', version: 'unknown', product: 'redis' },
  });
  await log.append({ type: 'Released', generation: log.state.owner!.generation, atMs });
}

describe('a timeline that ends before it has proven anything', () => {
  it('lets the next one serve no second that was not captured before it', async () => {
    await using life = await NodeLife.start();
    await life.record(2);
    await life.leave();
    const client = await life.server.connect();
    await client.config('SET', 'appendonly', 'no');
    await life.record(3); // of this nothing reaches the log
    client.disconnect();
    await openAndDie(life);
    await life.server.restart(); // goes on in the old log
    await life.attach();
    await life.record(2);
    const { ranges } = await life.expectHistory({ closed: ['aof-off', 'capture-down'] });
    expect(ranges).toHaveLength(2);
  });
});
