import { describe, expect, it } from 'vitest';
import type { Catalog } from '@tidemark/catalog';
import { keyNameHasher } from '@tidemark/crypto';
import { CatalogKeeper } from '../../../services/control/src/queries/catalog-keeper.ts';
import { maskedKeys } from '../../../services/control/src/queries/masked.ts';
import { backupPage } from '../../../services/control/src/queries/backups.ts';
import {
  commonSeconds,
  shardWindows,
  windowsDocument,
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
