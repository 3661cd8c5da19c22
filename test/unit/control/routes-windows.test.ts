import { describe, expect, it } from 'vitest';
import type { Catalog } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { commonWindows } from '../../../services/control/src/queries/common-windows.ts';
import { TailKeeper } from '../../../services/control/src/queries/tail-keeper.ts';
import {
  bucketDocuments,
  stepOf,
  windowBuckets,
} from '../../../services/control/src/queries/window-buckets.ts';
import {
  commonSeconds,
  meeting,
  type ShardWindows,
} from '../../../services/control/src/queries/windows.ts';

const shard = (
  ranges: readonly (readonly [number, number])[],
  holes: readonly (readonly [number, number])[] = [],
): ShardWindows => ({
  ...{ shard: '0', again: null, timelines: [] },
  ranges: ranges.map(([from, to]) => ({ from, to })),
  holes: holes.map(([from, to]) => ({ from, to, reason: 'capture-down', detail: null })),
  earliest: ranges[0]?.[0] ?? null,
  latest: ranges.at(-1)?.[1] ?? null,
});

describe('windows of several shards', () => {
  const shards = [
    shard(
      [
        [10, 20],
        [30, 60],
      ],
      [[21, 29]],
    ),
    shard(
      [
        [5, 40],
        [45, 50],
      ],
      [[41, 44]],
    ),
  ];

  it('are the seconds that each of them has, and the holes between', () => {
    const { ranges, gaps } = commonWindows(shards);
    expect(ranges).toEqual([
      { from: 10, to: 20 },
      { from: 30, to: 40 },
      { from: 45, to: 50 },
    ]);
    expect(gaps.map(({ from, to }) => [from, to])).toEqual([
      [21, 29],
      [41, 44],
    ]);
    expect(commonSeconds(shards)).toEqual({ earliest: 10, latest: 50 });
  });

  it('are none where one shard has none', () => {
    expect(commonWindows([...shards, shard([])])).toEqual({ ranges: [], gaps: [] });
    expect(commonSeconds([...shards, shard([])])).toEqual({ earliest: null, latest: null });
    expect(commonSeconds([])).toEqual({ earliest: null, latest: null });
  });

  it('within a span are those that meet it', () => {
    const { ranges } = commonWindows(shards);
    expect(meeting(ranges, { from: 20, to: 30 }).map(({ from }) => from)).toEqual([10, 30]);
    expect(meeting(ranges, { from: null, to: 9 })).toEqual([]);
  });
});

describe('windows in buckets', () => {
  const common = commonWindows([
    shard(
      [
        [60, 119],
        [150, 185],
      ],
      [[120, 149]],
    ),
  ]);
  const minute = { from: 0, to: 239, stepSeconds: 60, nowSecond: 200 };

  it('tell of each what can be restored, what never will be, and what is not proven yet', () => {
    const counts = windowBuckets(common, minute).map(
      ({ from, state, restorableSeconds, gapSeconds, lagSeconds, reasons }) => [
        ...[from, state, restorableSeconds, gapSeconds, lagSeconds, reasons.join()],
      ],
    );
    expect(counts).toEqual([
      [0, 'none', 0, 0, 0, ''],
      [60, 'whole', 60, 0, 0, ''],
      [120, 'partly', 30, 30, 0, 'capture-down'],
      [180, 'partly', 6, 0, 14, ''],
    ]);
    const proven = windowBuckets(common, { ...minute, nowSecond: 186 });
    expect(proven.at(-1)).toMatchObject({ state: 'whole', lagSeconds: 0 });
  });

  it('are cut from the first second that there is up to now, where nobody says otherwise', () => {
    const shards = [shard([[60, 119]])];
    const open = { from: null, to: null };
    const buckets = bucketDocuments(shards, open, { stepSeconds: 3_600, nowSecond: 7_200 });
    expect(buckets.map(({ from }) => from)).toEqual([
      ...['1970-01-01T00:00:00Z', '1970-01-01T01:00:00Z', '1970-01-01T02:00:00Z'],
    ]);
    expect(bucketDocuments([shard([])], open, { stepSeconds: 1, nowSecond: 7_200 })).toEqual([]);
  });

  it('are at most a thousand', () => {
    const many = { from: 0, to: 999, stepSeconds: 1, nowSecond: 0 };
    expect(windowBuckets(common, many)).toHaveLength(1_000);
    expect(() => windowBuckets(common, { ...many, to: 1_000 })).toThrow(
      expect.objectContaining({ code: 'TM_USAGE', context: { buckets: 1_001, most: 1_000 } }),
    );
  });

  it.each([
    ['second', 1],
    ['day', 86_400],
    ['15m', 900],
    ['6h', 21_600],
  ])('of %s are of %i seconds', (text, seconds) => {
    expect(stepOf(text)).toBe(seconds);
  });

  it.each(['', 'week', '0s', '1.5h', '12345678d', 'toString'])('of %j are refused', (text) => {
    expect(() => stepOf(text)).toThrow(expect.objectContaining({ code: 'TM_USAGE' }));
  });
});

describe('the end of the history', () => {
  const NOW = 1_000_000;

  /** A clock that goes on only when the test says so. */
  class HandClock {
    ms = NOW * 1000;
    readonly #sleepers: { readonly until: number; readonly wake: () => void }[] = [];
    nowMs(): number {
      return this.ms;
    }
    monotonicMs(): number {
      return this.ms;
    }
    async sleep(delayMs: number): Promise<void> {
      const until = this.ms + delayMs;
      return new Promise((wake) => this.#sleepers.push({ until, wake }));
    }
    async pass(ms: number): Promise<void> {
      await new Promise(setImmediate);
      this.ms += ms;
      for (const { until, wake } of this.#sleepers) if (until <= this.ms) wake();
      await new Promise(setImmediate);
    }
  }

  function keeper(answer: () => Promise<unknown>): {
    readonly tail: TailKeeper;
    readonly clock: HandClock;
    readonly rolls: number[];
    proven: number | null;
  } {
    const clock = new HandClock();
    const rolls: number[] = [];
    const catalog = {
      instance: () => ({}),
      writers: () => [{ shard: '0', state: { timeline: { provenTo: parts.proven } } }],
    } as unknown as Catalog;
    const workspace = {
      catalog,
      askArchiver: () => {
        rolls.push(clock.ms - NOW * 1000);
        return answer();
      },
    };
    const fresh = { of: () => Promise.resolve(catalog) };
    const { signal } = new AbortController();
    const tail = new TailKeeper({ workspace, fresh, rollMaxAgeMs: 1_000, clock, signal });
    const parts = { tail, clock, rolls, proven: null as number | null };
    return parts;
  }

  it('is asked for once by all who look, and not again for five seconds', async () => {
    const { tail, clock, rolls } = keeper(() => Promise.resolve({}));
    await Promise.all([tail.look('a', null), tail.look('a', null), tail.look('a', NOW + 60)]);
    for (let polls = 0; polls < 9; polls++) {
      await clock.pass(1_000);
      await tail.look('a', null);
    }
    expect(rolls).toEqual([0, 5_000]);
  });

  it('is not asked for where what is stored reaches far enough', async () => {
    const parts = keeper(() => Promise.resolve({}));
    parts.proven = NOW - 2;
    await parts.tail.look('a', null);
    parts.proven = NOW - 100;
    await parts.tail.look('a', NOW - 100);
    await parts.tail.act('a', NOW - 100, new AbortController().signal);
    expect(parts.rolls).toEqual([]);
  });

  it('of an archiver that hangs is waited for two seconds, and left alone after it failed', async () => {
    let fail = (_: Error): void => undefined;
    const { tail, clock, rolls } = keeper(() => new Promise((_, no) => (fail = no)));
    const slow = [tail.look('a', null), tail.look('a', null)];
    await clock.pass(1_999);
    const ended = await Promise.race([Promise.all(slow), Promise.resolve('waits')]);
    expect(ended).toBe('waits');
    await clock.pass(1);
    await Promise.all(slow);
    fail(new TidemarkError('TM_STORE_IO', 'away'));
    await clock.pass(10_000);
    await tail.look('a', null);
    await tail.act('a', null, new AbortController().signal);
    expect(rolls).toEqual([0]);
    await clock.pass(3_000);
    const again = tail.look('a', null);
    await clock.pass(0);
    fail(new TidemarkError('TM_STORE_IO', 'away'));
    await again;
    expect(rolls).toEqual([0, 15_000]);
  });

  it('is asked for anew by who acts on it, a second after the last time', async () => {
    const { tail, clock, rolls } = keeper(() => Promise.resolve({}));
    const { signal } = new AbortController();
    await tail.look('a', null);
    for (const second of [null, NOW + 1]) {
      const acted = tail.act('a', second, signal);
      await clock.pass(1_000);
      await acted;
    }
    expect(rolls).toEqual([0, 1_000, 2_000]);
  });
});
