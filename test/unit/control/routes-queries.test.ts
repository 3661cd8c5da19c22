import { describe, expect, it } from 'vitest';
import type { Catalog } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { keyNameHasher } from '@tidemark/crypto';
import { CatalogKeeper } from '../../../services/control/src/queries/catalog-keeper.ts';
import { commonWindows } from '../../../services/control/src/queries/common-windows.ts';
import { maskedKeys } from '../../../services/control/src/queries/masked.ts';
import { TailKeeper } from '../../../services/control/src/queries/tail-keeper.ts';
import {
  bucketDocuments,
  stepOf,
  windowBuckets,
} from '../../../services/control/src/queries/window-buckets.ts';
import { backupPage } from '../../../services/control/src/queries/backups.ts';
import {
  commonSeconds,
  meeting,
  shardWindows,
  windowsDocument,
  type ShardWindows,
} from '../../../services/control/src/queries/windows.ts';
import { CompatParams } from '../../../services/control/src/compat/compat-params.ts';
import { compatErrorOf } from '../../../services/control/src/compat/compat-error.ts';
import {
  pointOfCall,
  selectorOfCall,
  shiftOfCall,
} from '../../../services/control/src/compat/restore-params.ts';
import { jobDocument } from '../../../services/control/src/api/routes/job-document.ts';
import type { Job } from '../../../services/control/src/jobs/job.ts';
import { FIRST, TestArchive } from '../../support/test-archive.ts';
import { steppingClock } from '../../support/stepping-clock.ts';

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

describe('a catalog that is kept up to date', () => {
  function keeper(): {
    readonly fresh: CatalogKeeper;
    readonly clock: ReturnType<typeof steppingClock>;
    readonly asked: (string | null)[];
    readonly end: () => void;
    readonly fail: () => void;
  } {
    const clock = steppingClock(0);
    const asked: (string | null)[] = [];
    const waiting: { done(): void; failed(cause: Error): void }[] = [];
    const workspace = {
      catalog: { instances: () => [{ iid: 'orders' }] } as unknown as Catalog,
      sync: async (_: AbortSignal, only: string | null = null) => {
        asked.push(only);
        await new Promise<void>((done, failed) => waiting.push({ done, failed }));
        return 0;
      },
    };
    const { signal } = new AbortController();
    const fresh = new CatalogKeeper({ workspace, clock, signal });
    return {
      ...{ fresh, clock, asked },
      end: () => waiting.shift()?.done(),
      fail: () => waiting.shift()?.failed(new Error('away')),
    };
  }

  it('is read once for all who ask at one time, and not again while it is young', async () => {
    const { fresh, clock, asked, end } = keeper();
    const all = Promise.all([fresh.of('orders'), fresh.of('orders'), fresh.of('orders')]);
    end();
    await all;
    await fresh.of('orders');
    expect(asked).toEqual(['orders']);
    await clock.sleep(1_001);
    const again = fresh.of('orders');
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    end();
    await again;
    expect(asked).toEqual(['orders', 'orders']);
  });

  it('is read anew, after the read that is under way, for who wants what holds now', async () => {
    const { fresh, clock, asked, end } = keeper();
    const first = fresh.of('orders');
    await clock.sleep(5);
    const second = fresh.of('orders', 0);
    end();
    await first;
    await Promise.resolve();
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    end();
    await second;
    expect(asked).toEqual(['orders', 'orders']);
  });

  it('that could not be read is read again by the next who asks', async () => {
    const { fresh, asked, end, fail } = keeper();
    const first = fresh.of('orders');
    fail();
    await expect(first).rejects.toThrow('away');
    const second = fresh.of('orders');
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    end();
    await second;
  });

  it('of everything serves who asks for one instance', async () => {
    const { fresh, asked, end } = keeper();
    const all = fresh.all();
    end();
    await all;
    await fresh.of('orders');
    expect(asked).toEqual([null]);
  });
});

it('pages of backups hold each once, whatever began at the same instant; windows end where proven', async () => {
  await using archive = await TestArchive.open();
  await archive.begin('tl_1');
  for (const name of ['bk_1', 'bk_2', 'bk_3']) await archive.snapshot(name);
  await archive.prove(FIRST + 5);
  const { catalog } = await archive.environment();
  const [state] = catalog.instances();
  const iid = state?.iid ?? '';
  const question = { fromMs: null, toMs: null, state: null, pageSize: 2 } as const;
  const first = backupPage(catalog, iid, { ...question, before: null });
  expect(first.backups.map(({ hold }) => hold)).toEqual([false, false]);
  const second = backupPage(catalog, iid, { ...question, before: first.next });
  expect(second.next).toBeNull();
  const ids = [...first.backups, ...second.backups].map(({ id }) => id);
  expect(ids.sort()).toEqual(['bk_1', 'bk_2', 'bk_3']);
  const wanted = { ...question, before: null, state: 'shredded' } as const;
  expect(backupPage(catalog, iid, wanted)).toEqual({ backups: [], next: null });
  const shards = shardWindows(catalog, iid);
  expect(commonSeconds(shards)).toEqual({ earliest: FIRST, latest: FIRST + 5 });
  const document = windowsDocument(iid, shards, { timelines: false, pins: 'pinned' });
  expect(document.shards[0]).toMatchObject({ pins: 'pinned', holes: [] });
  expect(document.shards[0]).not.toHaveProperty('timelines');
  expect(() => shardWindows(catalog, 'nobody')).toThrow(
    expect.objectContaining({ code: 'TM_NOT_FOUND' }),
  );
});

it('keys of an instance with TDE have neither name nor value', () => {
  const state = { type: 'string', bytes: 3, expiresAt: null, value: 'secret' };
  const hashOf = keyNameHasher({ id: '00'.repeat(16), key: Buffer.alloc(32, 1) });
  const [masked] = maskedKeys(
    [{ outcome: 'changed', db: 0, key: 'user:1', then: state, now: null }],
    hashOf,
  );
  expect(masked).toEqual({
    ...{ outcome: 'changed', db: 0, keyHash: hashOf(Buffer.from('user:1')) },
    ...{ then: { type: 'string', bytes: 3, expiresAt: null }, now: null },
  });
  expect(JSON.stringify(masked)).not.toMatch(/user|secret/);
});

it('a job is shown without its request, and its result without names of keys', () => {
  const job: Job = {
    ...{ id: 'job-1', kind: 'restore', instance: 'orders', state: 'succeeded' },
    actor: { name: 'ops', via: 'token' },
    request: { selector: { include: [{ key: 'c2VjcmV0' }] } },
    progress: {
      ...{ phase: 'done', percent: 100, bytesDone: 2 ** 40, bytesTotal: 2 ** 40 },
      ...{ keysDone: 3, etaSeconds: 0 },
    },
    ...{ attempt: 1, resumable: false, worker: null, problem: null },
    result: {
      ...{ keys: 3, vanishingSample: ['secret'], sample: [{ key: 'secret' }], news: 'secret' },
      selection: { keys: 'key secret', followed: 2 },
      skip: { wrote: [{ key: 'secret' }], wroteCount: 1, readers: [{ key: 'secret' }] },
    },
    ...{ createdMs: 1_000, startedMs: 2_000, endedMs: null },
  };
  const document = jobDocument(job);
  expect(document).toMatchObject({
    ...{ bytesDone: '1099511627776', createdAt: '1970-01-01T00:00:01Z', endedAt: null },
    result: { keys: 3, selection: { followed: 2 }, skip: { wroteCount: 1 } },
    ...{ links: { self: '/v1/jobs/job-1', cancel: '/v1/jobs/job-1:cancel' } },
  });
  expect(JSON.stringify(document)).not.toMatch(/secret|c2VjcmV0/);
  const names = { selected: 'key secret', writtenSample: [{ db: 0, key: 'secret' }] };
  const left = [{ db: 0, key: 'secret', why: 'it was changed' }];
  const result = { restored: 1, conflicts: 1, left, ...names };
  expect(jobDocument({ ...job, kind: 'write-back', result }).result).toEqual({
    ...{ restored: 1, conflicts: 1 },
  });
});

describe('calls in the style of the managed service', () => {
  const params = (values: Readonly<Record<string, string>>): CompatParams =>
    new CompatParams(values, Object.keys(values));
  const refusal = (work: () => unknown): unknown => {
    try {
      return work();
    } catch (error) {
      const { code, status } = compatErrorOf(error);
      return [code, status];
    }
  };

  it('name keys as they are, and patterns by their signs', () => {
    expect(selectorOfCall(params({ FilterKey: 'user.1,cart:.*,a\\x2cb' }))).toMatchObject({
      include: [
        { key: Buffer.from('user.1').toString('base64') },
        { regex: 'cart:.*' },
        { key: Buffer.from('a,b').toString('base64') },
      ],
    });
    expect(selectorOfCall(params({}))).toBeNull();
  });

  it('name a backup or a second, and what is left to live from when', () => {
    expect(pointOfCall(params({ RestoreType: '0', BackupId: 'bk_1' }))).toEqual({
      ...{ kind: 'backup', backup: 'bk_1' },
    });
    const point = pointOfCall(params({ RestoreTime: '1970-01-01T00:01Z' }));
    expect(point).toEqual({ kind: 'second', second: 60 });
    const shift = params({ TimeShift: '1970-01-01T00:02:00Z' });
    expect(shiftOfCall(shift, point, 130_000)).toEqual({ mode: 'rebase', toMs: 120_999 });
    expect(refusal(() => shiftOfCall(shift, point, 100_000))).toEqual(['InvalidParameter', 400]);
  });

  it.each<[string, () => unknown, string]>([
    ['an unknown one', () => new CompatParams({ Odd: '1' }, []), 'InvalidParameter'],
    ['a missing one', () => params({}).required('InstanceId'), 'MissingParameter'],
    ['a wrong id', () => params({ InstanceId: 'A b' }).instance(), 'InvalidInstanceId.Malformed'],
    ['a wrong word', () => params({ A: 'x' }).oneOf('A', ['y']), 'InvalidParameter'],
    ['a number too great', () => params({ A: '101' }).count('A', 1, 100), 'InvalidParameter'],
    ['a wrong time', () => params({ A: '2026-02-30T00:00Z' }).second('A'), 'InvalidParameter'],
    [
      'a time and a backup',
      () => pointOfCall(params({ RestoreTime: '1970-01-01T00:01Z', BackupId: 'b' })),
      'InvalidParameter',
    ],
    [
      'keys of nothing but commas',
      () => selectorOfCall(params({ FilterKey: ',,' })),
      'InvalidParameter',
    ],
  ])('%s is refused', (_, work, code) => {
    expect(refusal(work)).toEqual([code, 400]);
  });

  it('say nothing of a fault of the service itself', () => {
    const error = compatErrorOf(new TypeError('secret of ours'));
    expect([error.code, error.status]).toEqual(['InternalError', 500]);
    expect(error.message).not.toContain('secret');
  });
});
