import type { TidemarkError } from '@tidemark/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../support/aof-run.ts';
import { SteppedClock } from '../support/stepped-clock/stepped-clock.ts';
import { SteppedNode, type SteppedSecond } from '../support/stepped-clock/stepped-node.ts';

beforeAll(buildAof, 120_000);

const missing = await SteppedClock.missing();
if (missing !== null && process.env['TIDEMARK_REQUIRE'] === 'all') throw new Error(missing);
const HOUR_MS = 3_600_000;

/** Each recorded second is restored equal. */
async function expectRestored(
  node: SteppedNode,
  recorded: readonly SteppedSecond[],
): Promise<void> {
  for (const one of recorded) {
    const { second } = one;
    expect([second, await node.differences({ kind: 'second', second }, one)]).toEqual([second, []]);
  }
}

/** The second is refused, with a cut for each of these passes; each gives what was recorded. */
async function expectRefused(node: SteppedNode, passes: readonly SteppedSecond[]): Promise<void> {
  const [{ second } = { second: 0 }] = passes;
  const refusal = await node.restore({ kind: 'second', second }).then(
    () => null,
    (error: unknown) => error as TidemarkError,
  );
  expect(refusal).toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE', exitCode: 13 });
  const hint = refusal?.hint ?? '';
  const cuts = [...hint.matchAll(/--offset (\d+) --timeline ([a-z0-9-]+)/g)];
  expect(cuts, hint).toHaveLength(passes.length);
  expect(hint).toContain('nearest restorable: ');
  for (const [i, pass] of passes.entries()) {
    const [, offset = '', timeline = ''] = cuts[i] ?? [];
    const point = { kind: 'offset', offset: BigInt(offset), timeline } as const;
    expect([second, i, await node.differences(point, pass)]).toEqual([second, i, []]);
  }
}

const inside = (list: readonly { from: number; to: number }[], second: number): boolean =>
  list.some(({ from, to }) => from <= second && second <= to);

describe.skipIf(missing !== null)(
  `a server whose clock steps${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    it.each(['yes', 'no'])(
      'is set forward an hour and back (time stamps in its log: %s)',
      async (stamped) => {
        await using node = await SteppedNode.start({ 'aof-timestamp-enabled': stamped });
        await node.record(2);
        const before = [...node.recorded];
        await node.clock.step(HOUR_MS);
        await node.record(2);
        const ahead = node.recorded.slice(2);
        const { windows: stepped } = await node.proven(ahead[1]!.second);
        expect(stepped.holes).toEqual([]);
        // Nothing ran in the hour that was jumped over: it is the state before.
        const jumped = { second: before[1]!.second + 1_800, oracle: before[1]!.oracle };
        await expectRestored(node, [...before, jumped, ...ahead]);

        await node.clock.step(-HOUR_MS);
        await node.record(2);
        const after = node.recorded.slice(4);
        const { windows, timelines } = await node.proven(after[1]!.second);
        expect(timelines).toHaveLength(1);
        expect(timelines[0]!.steps.map(({ direction }) => direction)).toEqual(['forward', 'back']);
        expect(windows.latest).toBeLessThan(ahead[0]!.second);
        expect(windows.latest).toBeGreaterThanOrEqual(after[1]!.second);
        // Where a sample around the step came late, the second of the step is given up.
        expect(windows.holes.length).toBeLessThanOrEqual(1);
        for (const { from, to } of windows.holes) expect(to).toBe(from);
        const known = [...before, ...after].filter(({ second }) => !inside(windows.holes, second));
        expect(known.length).toBeGreaterThanOrEqual(3);
        await expectRestored(node, known);
        // The hour ahead is yet to come; what it showed is there all the same.
        await expectRefused(node, [ahead[0]!]);
      },
      90_000,
    );

    it('is set back some seconds: those pass twice, and each pass has its cut', async () => {
      await using node = await SteppedNode.start();
      await node.record(5);
      await node.clock.step(-3_000);
      await node.record(6);
      const last = node.recorded.at(-1)!;
      const { windows } = await node.proven(last.second);
      expect(windows.holes).toMatchObject([{ reason: 'clock-step' }]);
      const passesOf = (wanted: number): SteppedSecond[] =>
        node.recorded.filter(({ second }) => second === wanted);
      const twice = node.recorded.slice(0, 5).filter(({ second }) => passesOf(second).length === 2);
      expect(twice.length).toBeGreaterThanOrEqual(2);
      for (const { second } of twice) expect(inside(windows.holes, second)).toBe(true);
      const once = node.recorded.filter(({ second }) => inside(windows.ranges, second));
      expect(once.length).toBeGreaterThanOrEqual(2);
      for (const { second } of once) expect(passesOf(second)).toHaveLength(1);
      await expectRestored(node, [once[0]!, once.at(-1)!]);
      await expectRefused(node, passesOf(twice[0]!.second));
      await expectRefused(node, passesOf(twice[1]!.second));
    }, 90_000);

    it('is corrected by less than a second: no second is lost', async () => {
      await using node = await SteppedNode.start();
      for (const stepMs of [-300, 250, -400]) {
        await node.record(1);
        await node.clock.step(stepMs);
      }
      await node.record(1);
      const { windows, timelines } = await node.proven(node.recorded.at(-1)!.second);
      expect(timelines[0]!.steps).toEqual([]);
      expect(windows.holes).toEqual([]);
      await expectRestored(node, node.recorded.slice(-2));
    }, 60_000);

    it('is started anew with an older clock while the archiver watches', async () => {
      await using node = await SteppedNode.start();
      await node.record(2);
      const before = [...node.recorded];
      await node.restart(-600_000);
      await node.record(2);
      const after = node.recorded.slice(2);
      const { windows, timelines } = await node.proven(after[1]!.second);
      expect(timelines).toHaveLength(1);
      expect(timelines[0]!.steps).toMatchObject([{ direction: 'back' }]);
      expect(windows.latest).toBeGreaterThanOrEqual(after[1]!.second);
      await expectRestored(node, after);
      await expectRefused(node, [before[0]!]);
    }, 60_000);

    it('is set back while the archiver is away', async () => {
      await using node = await SteppedNode.start();
      await node.record(2);
      const before = [...node.recorded];
      await node.proven(before[1]!.second);
      await node.leave();
      await node.clock.step(-600_000);
      await node.record(1);
      await node.attach();
      await node.record(2);
      const after = node.recorded.slice(3);
      const { timelines } = await node.proven(after[1]!.second);
      expect(timelines).toHaveLength(1);
      expect(timelines[0]!.steps).toMatchObject([{ direction: 'back' }]);
      await expectRestored(node, after);
      await expectRefused(node, [before[0]!]);
    }, 60_000);
  },
);
