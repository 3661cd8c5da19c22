import { openCatalog, type Catalog } from '@tidemark/catalog';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WantedPoint } from '../../../../services/restorer/src/plan/make-plan.ts';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { syncTest } from '../../../support/catalog-harness.ts';
import { LevelHistory, TIMELINE } from '../../../support/level-history.ts';
import { LOG } from '../../../support/log-events.ts';
import { MemoryCopies } from '../../../support/memory-copies.ts';
import { TempDir } from '../../../support/temp-dir.ts';

describe('a restore', () => {
  let dir: TempDir;
  let history: LevelHistory;
  beforeEach(async () => {
    dir = await TempDir.create();
    history = await LevelHistory.open(dir.path, { copies: new MemoryCopies() });
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  /** What a plan for a point comes to: the cut, the instant of lives, and where the bytes end. */
  async function planned(catalog: Catalog, point: WantedPoint): Promise<unknown> {
    const { store, keys, stop } = history;
    const ports = { clock: systemClock, random: systemRandom, stateDir: dir.path };
    const request = { instance: LOG.iid, point, ttl: { mode: 'absolute' } as const };
    await using prepared = await preparePlan(request, {
      ...{ store, keys, catalog, ...ports, signal: stop.signal },
      original: null,
      onProgress: () => undefined,
    });
    const { cut, ttl, reads, at } = prepared.plan;
    return { cut, atMs: ttl.atMs, to: reads.at(-1)?.to ?? null, at };
  }

  it('stops at the same place before and after what it reads was merged', async () => {
    const first = history.second;
    for (let i = 0; history.second < first + 200; i++) {
      const commands = [['SET', `key:${i}`, `${i}`], ...(i % 3 === 0 ? [['INCR', 'n']] : [])];
      await history.roll(commands, 1 + (i % 3));
    }
    const end = history.log.state.timeline?.end ?? 0n;
    using before = openCatalog({ path: ':memory:' });
    await syncTest(before, history.store);
    await history.look();
    using after = openCatalog({ path: ':memory:' });
    await syncTest(after, history.store);
    const count = (catalog: Catalog): number => catalog.segments(TIMELINE).length;
    expect(count(after)).toBeLessThan(count(before) / 2);

    const points: WantedPoint[] = [{ kind: 'latest' }];
    for (let second = first; second < history.second - 2; second += 3) {
      points.push({ kind: 'second', second });
    }
    for (const { start } of before.segments(TIMELINE).filter((_, i) => i % 4 === 1)) {
      points.push({ kind: 'offset', offset: start, timeline: TIMELINE });
      points.push({ kind: 'offset', offset: start + 3n, timeline: TIMELINE });
      points.push({ kind: 'before', offset: start, timeline: TIMELINE });
    }
    points.push({ kind: 'offset', offset: end, timeline: TIMELINE });
    expect(points.length).toBeGreaterThan(100);
    for (const point of points) {
      expect([point, await planned(after, point)]).toEqual([point, await planned(before, point)]);
    }
  }, 120_000);
});
