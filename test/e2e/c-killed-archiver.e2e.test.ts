import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { RecordedSecond } from '../support/recorded-seconds.ts';
import { INSTANCE, Scenario } from '../support/scenario.ts';
import { iso, secondOf, type Tidemark, type WindowsDocument } from '../support/tidemark-cli.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const KILLS = 20;
const KILLS_WITH_REWRITES = 6;
/** How long the archiver lives from its start: from before it has caught up to well after. */
const LIFE_MS = [150, 2_400] as const;
const DEATH_MS = [0, 500] as const;
const RESTORES = 8;
const NOT_RESTORABLE = 13;

describe('(c) the archiver is killed at random moments while the workload runs', () => {
  it('leaves no hole when the log was not rewritten meanwhile, and restores equal', async () => {
    const seed = chooseSeed('killed archiver');
    const dice = new Dice(seed);
    await using scenario = await Scenario.start({
      workload: { seed },
      config: { 'auto-aof-rewrite-percentage': '0' },
    });
    const { tidemark } = scenario;
    await scenario.workload.open();
    await (await tidemark.serve()).kill();
    const recorded = await recordWhile(scenario, () =>
      killRepeatedly(tidemark, dice, KILLS, () => Promise.resolve()),
    );

    const windows = await finalWindows(tidemark, recorded);
    expect(windows.shards[0]?.holes).toEqual([]);
    expect(windows.shards[0]?.ranges).toHaveLength(1);
    const last = recorded.slice(-1);
    for (const one of [...pickSome(dice, recorded.slice(0, -1), RESTORES - 1), ...last]) {
      await scenario.expectRestored(one);
    }
  });

  it('restores equal or names the hole when the log was rewritten while it was dead', async () => {
    const seed = chooseSeed('killed archiver, rewritten log');
    const dice = new Dice(seed);
    await using scenario = await Scenario.start({
      workload: { seed },
      config: { 'auto-aof-rewrite-percentage': '0' },
    });
    const { tidemark, redis, target } = scenario;
    await scenario.workload.open();
    const first = await tidemark.serve();
    await tidemark.untilProven(INSTANCE, Math.floor(Date.now() / 1000));
    await first.kill();
    const recorded = await recordWhile(scenario, () =>
      killRepeatedly(tidemark, dice, KILLS_WITH_REWRITES, async () => {
        for (let left = dice.between(0, 2); left > 0; left--) {
          await redis.call('BGREWRITEAOF').catch(() => undefined); // one may be under way
          await delay(dice.between(50, 400));
        }
      }),
    );

    const windows = await finalWindows(tidemark, recorded);
    const { ranges = [], holes = [] } = windows.shards[0] ?? {};
    console.log(`${ranges.length} ranges, holes: ${JSON.stringify(holes)}`);
    const inside = recorded.filter(({ second }) => within(ranges, second));
    const outside = recorded.filter(({ second }) => !within(ranges, second));
    expect(inside.length).toBeGreaterThan(0);
    for (const one of pickSome(dice, inside, RESTORES)) await scenario.expectRestored(one);
    for (const { second } of pickSome(dice, outside, 3)) {
      const hole = holes.find(({ from, to }) => from <= iso(second) && iso(second) <= to);
      expect(hole?.reason, iso(second)).toMatch(/^(rewrite-unobserved|capture-down)$/);
      const to = `redis://127.0.0.1:${target.port}`;
      const flags = ['--at', iso(second), '--to', to, '--yes'];
      const error = await tidemark.refused(NOT_RESTORABLE, 'restore', INSTANCE, ...flags);
      expect(error.code).toBe('TM_TIME_NOT_RESTORABLE');
    }
  });
});

/** Records seconds of the workload until the work is done, and two more. */
async function recordWhile(
  scenario: Scenario,
  work: () => Promise<void>,
): Promise<readonly RecordedSecond[]> {
  const { recorder, workload } = scenario;
  const over = new AbortController();
  const done = work().finally(() => over.abort());
  while (!over.signal.aborted) await recorder.recordOne(workload);
  await done;
  await recorder.record(workload, 2);
  console.log(`${workload.commands} commands, ${recorder.recorded.length} seconds recorded`);
  return recorder.recorded;
}

/** Starts an archiver and kills it, again and again; at the end one that lives. */
async function killRepeatedly(
  tidemark: Tidemark,
  dice: Dice,
  times: number,
  whileDead: () => Promise<void>,
): Promise<void> {
  let caughtUp = 0;
  for (let killed = 0; killed < times; killed++) {
    const archiver = tidemark.spawnArchiver();
    const [from, to] = LIFE_MS;
    await delay(dice.between(from, to));
    expect(archiver.isRunning, archiver.log).toBe(true);
    if (archiver.log.includes('"caught-up"')) caughtUp += 1;
    await archiver.kill();
    await whileDead();
    await delay(dice.between(...DEATH_MS));
  }
  console.log(`${times} kills, ${caughtUp} after it had caught up`);
  await tidemark.serve();
}

async function finalWindows(
  tidemark: Tidemark,
  recorded: readonly RecordedSecond[],
): Promise<WindowsDocument> {
  const windows = await tidemark.untilProven(INSTANCE, recorded.at(-1)?.second ?? Infinity);
  expect(secondOf(windows.earliest ?? '')).toBeLessThanOrEqual(recorded[0]?.second ?? 0);
  return windows;
}

function within(
  ranges: readonly { readonly from: string; readonly to: string }[],
  second: number,
): boolean {
  return ranges.some(({ from, to }) => secondOf(from) <= second && second <= secondOf(to));
}

function pickSome<T>(dice: Dice, list: readonly T[], count: number): T[] {
  const left = [...list];
  const chosen: T[] = [];
  while (chosen.length < count && left.length > 0) {
    chosen.push(...left.splice(dice.between(0, left.length - 1), 1));
  }
  return chosen;
}
