import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { CaptureStatus } from '@tidemark/archiver';
import type { RecordedSecond } from '../../support/recorded-seconds.ts';
import { INSTANCE, Scenario } from '../../support/scenario.ts';
import { iso, secondOf, type RestoreDocument } from '../../support/tidemark-cli.ts';
import { chooseSeed, Dice } from '../../support/workload.ts';

const KILLS = 20;
/** How long the archiver lives from its start: from before it has caught up to well after. */
const LIFE_MS = [150, 1_600] as const;
const DEATH_MS = [0, 300] as const;
const RESTORES = 3;
const MORE_THAN_BACKLOG = 'x'.repeat(300_000);
const LOOKS_MAX = 6;
/** Twenty starts of a process, on a machine that may be busy. */
const TIMEOUT_MS = 300_000;

describe('the archiver of a capture by replication is killed while the workload runs', () => {
  it(
    'asks for no full resync and leaves no hole while the backlog reaches back',
    async () => {
      const seed = chooseSeed('killed replica');
      const dice = new Dice(seed);
      await using scenario = await Scenario.start({
        ...{ workload: { seed }, psync: true, config: { 'repl-backlog-size': '256mb' } },
      });
      const { tidemark, recorder, workload } = scenario;
      await workload.open();
      const first = await tidemark.serve();
      await first.until('snapshot');
      const exact = [await recordExact(scenario)];
      await first.kill();
      const over = new AbortController();
      const killed = killRepeatedly(scenario, dice).finally(() => over.abort());
      while (!over.signal.aborted) await recorder.recordOne(workload);
      await killed;
      exact.push(await recordExact(scenario));
      const { recorded } = recorder;
      const windows = await tidemark.untilProven(INSTANCE, recorded.at(-1)!.second);
      expect(windows.shards[0]?.holes).toEqual([]);
      expect(windows.shards[0]?.ranges).toHaveLength(1);
      const log = await scenario.source.log();
      expect(log.match(/Full resync requested by replica/g)).toHaveLength(1);
      const { instances } = await tidemark.json<{ instances: { capture: CaptureStatus }[] }>(
        'status',
      );
      expect(instances[0]?.capture.link).toMatchObject({ fullResyncs: 0, partialResyncs: 1 });
      for (let looks = 0; looks < LOOKS_MAX && exact.length < RESTORES; looks++) {
        const one = dice.pick(recorded.filter((known) => !exact.includes(known)));
        if (await isExact(scenario, one)) exact.push(one);
      }
      console.log(`${recorded.length} seconds recorded, ${exact.length} of them restored`);
      for (const one of exact) await scenario.expectRestored(one);
    },
    TIMEOUT_MS,
  );

  it(
    'leaves exactly one hole, of what it missed, when the backlog does not reach back',
    async () => {
      await using scenario = await Scenario.start({
        ...{ workload: { seed: chooseSeed('overrun replica') }, psync: true },
        config: { 'repl-backlog-size': '16kb' },
      });
      const { tidemark, recorder, workload, source } = scenario;
      await workload.open();
      const first = await tidemark.serve();
      await first.until('snapshot');
      await recorder.record(workload, 2);
      const before = recorder.recorded.at(-1)!;
      await tidemark.untilProven(INSTANCE, before.second);
      await first.kill();
      const client = await source.connect();
      await client.set('more', MORE_THAN_BACKLOG);
      await recorder.record(workload, 1);
      const missed = recorder.recorded.at(-1)!;
      await client.set('more', MORE_THAN_BACKLOG);
      const second = await tidemark.serve();
      await second.until('snapshot');
      await recorder.record(workload, 2);
      const after = recorder.recorded.at(-1)!;
      const { shards } = await tidemark.untilProven(INSTANCE, after.second);
      const { holes = [], ranges = [] } = shards[0] ?? {};
      expect(holes.map(({ reason }) => reason)).toEqual(['backlog-overrun']);
      expect(ranges).toHaveLength(2);
      const [hole] = holes;
      expect(secondOf(hole!.from)).toBeGreaterThan(before.second);
      expect(secondOf(hole!.from)).toBeLessThanOrEqual(missed.second);
      expect(secondOf(hole!.to)).toBeGreaterThanOrEqual(missed.second);
      expect(secondOf(hole!.to)).toBeLessThan(after.second);
      for (const one of [before, after]) await scenario.expectRestored(one);
    },
    TIMEOUT_MS,
  );
});

async function killRepeatedly({ tidemark }: Scenario, dice: Dice): Promise<void> {
  for (let kills = 0; kills < KILLS; kills++) {
    const archiver = tidemark.spawnArchiver();
    await delay(dice.between(...LIFE_MS));
    await archiver.kill();
    await delay(dice.between(...DEATH_MS));
  }
  await tidemark.serve();
}

/** Of the time in which it was dead nobody took samples: its seconds are told apart less well. */
/** A machine that is short of time may sample late: then the next second is as good. */
async function recordExact(scenario: Scenario): Promise<RecordedSecond> {
  const { tidemark, recorder, workload } = scenario;
  for (let tries = 0; tries < LOOKS_MAX; tries++) {
    await recorder.record(workload, 1);
    const one = recorder.recorded.at(-1)!;
    await tidemark.untilProven(INSTANCE, one.second);
    if (await isExact(scenario, one)) return one;
  }
  throw new Error(`none of ${LOOKS_MAX} seconds was sampled in time`);
}

async function isExact(
  { tidemark, target }: Scenario,
  { second }: RecordedSecond,
): Promise<boolean> {
  const to = `redis://127.0.0.1:${target.port}`;
  const flags = ['--at', iso(second), '--to', to, '--dry-run', '--yes'];
  const { cut } = await tidemark.json<RestoreDocument>('restore', INSTANCE, ...flags);
  return cut.notAfter !== null && secondOf(cut.notAfter) <= second;
}
