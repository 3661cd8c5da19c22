import { describe, expect, it } from 'vitest';
import { Scenario, INSTANCE } from '../support/scenario.ts';
import { chooseSeed } from '../support/workload.ts';

const SECONDS = 20;

describe('(a) a workload over all types, with its dataset recorded at the end of seconds', () => {
  it('restores every recorded second as it was', async () => {
    const seed = chooseSeed('recorded seconds');
    await using scenario = await Scenario.start({ workload: { seed } });
    const { tidemark, workload, recorder, redis } = scenario;
    await workload.open();
    const archiver = await tidemark.serve();

    await recorder.record(workload, SECONDS - 3);
    await redis.flushall();
    await recorder.record(workload, 3);
    console.log(
      `${workload.commands} commands (${workload.errors} refused), ` +
        `${recorder.recorded.length} seconds recorded`,
    );

    const [first, last] = [recorder.recorded[0], recorder.recorded.at(-1)];
    const windows = await tidemark.untilProven(INSTANCE, last?.second ?? 0);
    expect(windows.shards[0]?.holes).toEqual([]);
    expect(recorder.recorded.length).toBeGreaterThanOrEqual(SECONDS);
    expect(first?.oracle.databases.size).toBe(16);
    for (const recorded of recorder.recorded) await scenario.expectRestored(recorded);
    expect(await archiver.stop()).toBe(0);
  });
});
