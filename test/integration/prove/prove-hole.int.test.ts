import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { Steps } from '../../support/recorded-seconds.ts';
import { INSTANCE, Scenario } from '../../support/scenario.ts';
import { iso, secondOf } from '../../support/tidemark-cli.ts';
import { chooseSeed } from '../../support/workload.ts';

interface ProveDocument {
  readonly holes: readonly {
    readonly from: string | null;
    readonly to: string | null;
    readonly proven: boolean;
    readonly reason: string | null;
    readonly keys: number;
    readonly differences: readonly {
      readonly db: number | null;
      readonly key: string | null;
      readonly what: string;
    }[];
  }[];
}

async function rewrite(client: Redis): Promise<void> {
  await client.call('BGREWRITEAOF');
  for (;;) {
    const info = await client.info('persistence');
    const busy = /aof_rewrite_(in_progress|scheduled):1/.test(info);
    if (!busy && info.includes('aof_last_bgrewrite_status:ok')) return;
    await delay(10);
  }
}

/** Writes one key again and again: nothing that expires. */
function plainSteps(client: Redis): Steps {
  return {
    async step() {
      await client.incr('counter');
      await delay(20);
    },
  };
}

type Away = (scenario: Scenario) => Promise<void>;

/** A source whose archiver was killed, and came back when all of `away` had happened. */
async function captured(kind: 'workload' | 'plain', away: Away): Promise<Scenario> {
  const seed = chooseSeed('prove');
  const config = { 'auto-aof-rewrite-percentage': '0' };
  const scenario = await Scenario.start({ workload: { seed }, config });
  const { tidemark, recorder, redis } = scenario;
  if (kind === 'workload') await scenario.workload.open();
  const workload = kind === 'workload' ? scenario.workload : plainSteps(redis);
  const archiver = await tidemark.serve();
  await recorder.record(workload, 1);
  await tidemark.untilProven(INSTANCE, recorder.recorded.at(-1)?.second ?? 0);
  await archiver.kill();
  await away(scenario);
  const back = await tidemark.serve();
  await back.until('hole');
  await recorder.record(workload, 1);
  await tidemark.untilProven(INSTANCE, recorder.recorded.at(-1)?.second ?? 0);
  return scenario;
}

function holeOf(document: ProveDocument): ProveDocument['holes'][number] {
  expect(document.holes).toHaveLength(1);
  const [hole] = document.holes;
  if (hole === undefined) throw new Error('no hole');
  return hole;
}

describe('windows --prove', () => {
  it('closes the hole of one unseen rewrite: every second of it is restored as it was', async () => {
    await using scenario = await captured('workload', async ({ recorder, workload, redis }) => {
      await recorder.record(workload, 2);
      await rewrite(redis);
      await recorder.record(workload, 1);
    });
    const { tidemark, recorder } = scenario;
    const before = await tidemark.windows(INSTANCE);
    expect(before.shards[0]?.holes.map(({ reason }) => reason)).toEqual(['rewrite-unobserved']);
    const [hole] = before.shards[0]?.holes ?? [];
    const within = recorder.recorded.filter(
      ({ second }) =>
        hole !== undefined && second >= secondOf(hole.from) && second <= secondOf(hole.to),
    );
    expect(within.length).toBeGreaterThan(0);
    const second = within[0]?.second ?? 0;
    const to = `redis://127.0.0.1:${scenario.target.port}`;
    await tidemark.refused(13, 'restore', INSTANCE, '--at', iso(second), '--to', to);

    const proof = holeOf(await tidemark.json<ProveDocument>('windows', INSTANCE, '--prove'));
    expect(proof).toMatchObject({ proven: true, reason: null, differences: [] });
    expect(proof.keys).toBeGreaterThan(0);
    const after = await tidemark.windows(INSTANCE);
    expect(after.shards[0]).toMatchObject({
      holes: [],
      ranges: [{ from: before.earliest, to: after.latest }],
    });
    expect(after.earliest).toBe(before.earliest);
    for (const recorded of recorder.recorded) await scenario.expectRestored(recorded);
    expect(await tidemark.json<ProveDocument>('windows', INSTANCE, '--prove')).toMatchObject({
      holes: [],
    });
  });

  it('names what differs after two unseen rewrites with writes between; the hole stays', async () => {
    await using scenario = await captured('plain', async ({ redis }) => {
      await rewrite(redis);
      await redis.set('between\u0007', 'two rewrites');
      await delay(2_100); // or the two timelines may touch, and no second lies between them
      await rewrite(redis);
    });
    const { tidemark } = scenario;
    const proof = holeOf(await tidemark.json<ProveDocument>('windows', INSTANCE, '--prove'));
    expect(proof).toMatchObject({ proven: false, reason: 'the two datasets differ' });
    expect(proof.differences[0]).toMatchObject({
      key: 'between\\x07',
      what: 'only in the second',
    });
    const { shards } = await tidemark.windows(INSTANCE);
    expect(shards[0]?.holes.map(({ reason }) => reason)).toEqual(['rewrite-unobserved']);
  });

  it('does not take equal datasets for a proof when another rewrite lies between', async () => {
    await using scenario = await captured('plain', async ({ redis }) => {
      await rewrite(redis);
      await redis.set('between', 'two rewrites');
      await redis.del('between');
      await delay(2_100);
      await rewrite(redis);
    });
    const { tidemark } = scenario;
    const proof = holeOf(await tidemark.json<ProveDocument>('windows', INSTANCE, '--prove'));
    expect(proof).toMatchObject({ proven: false, differences: [] });
    expect(proof.reason).toMatch(/another rewrite may lie between/);
  });
});
