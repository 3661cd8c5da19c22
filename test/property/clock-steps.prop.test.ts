import fc from 'fast-check';
import { expect, it } from 'vitest';
import { preparePlan } from '../../services/restorer/src/run/prepared-plan.ts';
import { SteppedServer, TICK_MS, type Tick } from '../support/stepped-server.ts';
import { ARCHIVED, FIRST, ONE_KEY, TestArchive } from '../support/test-archive.ts';

const quiet: Tick = { stepMs: 0, pauseMs: 0, restarts: false, units: 0, rolls: false };
const tick: fc.Arbitrary<Tick> = fc.record({
  stepMs: fc.oneof(
    { weight: 30, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(-400, 300) },
    { weight: 1, arbitrary: fc.constantFrom(-2_000, -7_300, -40_000, 3_100, 30_000, 90_000) },
  ),
  pauseMs: fc.oneof(
    { weight: 40, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 100, max: 6_000 }) },
  ),
  restarts: fc.integer({ min: 0, max: 40 }).map((n) => n === 0),
  units: fc.integer({ min: 0, max: 2 }),
  rolls: fc.integer({ min: 0, max: 6 }).map((n) => n === 0),
});

/** Runs a server through ticks and a last quiet second, and ships all of it. */
async function recorded(ticks: readonly Tick[], annotated: boolean) {
  const archive = await TestArchive.open();
  await archive.begin('t1');
  await archive.snapshot('bk-0', ONE_KEY, FIRST);
  const server = new SteppedServer(archive, FIRST * 1000, annotated);
  await server.run([quiet, ...ticks]);
  const last = Array.from({ length: 2_000 / TICK_MS }, () => ({ ...quiet, units: 1 }));
  await server.run(last);
  if (archive.writer.rawBytes > 0) await archive.roll();
  return { archive, server };
}

it('gives the state that a plain account gives of every second it accepts, and refuses only those that passed more than once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(tick, { minLength: 20, maxLength: 160 }),
      fc.boolean(),
      async (ticks, annotated) => {
        const { archive, server } = await recorded(ticks, annotated);
        await using _ = archive;
        const environment = await archive.environment();
        const windows = environment.catalog.windows(ARCHIVED);
        const { earliest, latest, ranges, holes } = windows;
        const newest = environment.catalog.timelines(ARCHIVED)[0]!.provenTo!;
        expect(newest).toBeLessThan(server.second);
        if (earliest === null || latest === null) return;
        expect(latest).toBeLessThanOrEqual(newest);
        let next = earliest;
        for (const one of [...ranges, ...holes].sort((a, b) => a.from - b.from)) {
          expect(one.from).toBe(next);
          next = one.to + 1;
        }
        expect(next - 1).toBe(latest);
        for (let second = earliest; second <= latest; second++) {
          const passes = server.passes(second);
          const point = { kind: 'second', second } as const;
          const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
          const inside = ranges.some(({ from, to }) => from <= second && second <= to);
          if (inside) {
            await using prepared = await preparePlan(request, environment);
            expect([second, prepared.plan.cut.offset]).toEqual([second, passes[0]]);
            expect(passes).toHaveLength(1);
          } else {
            const refused = await preparePlan(request, environment).catch(
              (error: unknown) => error,
            );
            expect(refused).toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE', exitCode: 13 });
            expect(passes.length > 1 || server.edges.has(second), String(second)).toBe(true);
          }
        }
      },
    ),
    { numRuns: 15, interruptAfterTimeLimit: 30_000 },
  );
});
