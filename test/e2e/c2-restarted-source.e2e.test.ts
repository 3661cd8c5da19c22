import { describe, expect, it } from 'vitest';
import { SecondRecorder, type RecordedSecond } from '../support/recorded-seconds.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { DATABASES, INSTANCE, nodeOf, Scenario } from '../support/scenario.ts';
import { chooseSeed, Workload } from '../support/workload.ts';

const SECONDS = 2;
/** So that loading takes a second or more, and the server answers meanwhile. */
const SLOW_LOADING = {
  'key-load-delay': '200',
  'loading-process-events-interval-bytes': '4096',
};

describe('(c2) the source is stopped and killed, and loads its log again', () => {
  it('goes on with the same timeline and restores equal before, between and after', async () => {
    const seed = chooseSeed('restarted source');
    await using scenario = await Scenario.start({ workload: { seed, bigOnceIn: 0 } });
    const { tidemark, source, workload, recorder } = scenario;
    await workload.open();
    const archiver = await tidemark.serve();
    await recorder.record(workload, SECONDS);
    const recorded = [...recorder.recorded];
    for (const end of [() => source.stop(), () => source.kill()]) {
      await end();
      await source.restart(SLOW_LOADING);
      recorded.push(...(await recordAnew(source, seed + recorded.length)));
    }

    const windows = await tidemark.untilProven(INSTANCE, recorded.at(-1)?.second ?? 0);
    expect(archiver.log).not.toContain('"msg":"hole"');
    expect(windows.shards[0]?.ranges).toHaveLength(1);
    const timelines = new Set<string>();
    for (const one of recorded) timelines.add((await scenario.expectRestored(one)).cut.timeline);
    expect(timelines.size).toBe(1);
  });
});

/** Records seconds over new connections. */
async function recordAnew(source: RedisServer, seed: number): Promise<readonly RecordedSecond[]> {
  await using writing = await nodeOf(source);
  await using blocking = await nodeOf(source);
  const recorder = new SecondRecorder(await source.connect(), DATABASES);
  await recorder.record(new Workload(writing, blocking, { seed, bigOnceIn: 0 }), SECONDS);
  return recorder.recorded;
}
