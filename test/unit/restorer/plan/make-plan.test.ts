import { afterEach, describe, expect, it } from 'vitest';
import type { PlanRequest, WantedPoint } from '../../../../services/restorer/src/plan/make-plan.ts';
import type { RestorePlan } from '../../../../services/restorer/src/plan/restore-plan.ts';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { ARCHIVED, FIRST, ONE_KEY, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
afterEach(() => archive[Symbol.asyncDispose]());

async function plan(point: WantedPoint, more: Partial<PlanRequest> = {}): Promise<RestorePlan> {
  const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const, ...more };
  await using prepared = await preparePlan(request, await archive.environment());
  return prepared.plan;
}
const at = (second: number): Promise<RestorePlan> => plan({ kind: 'second', second });
const to = (offset: bigint, timeline: string | null = null): Promise<RestorePlan> =>
  plan({ kind: 'offset', offset, timeline });
/** The ranges of the stream that a plan reads. */
const reads = (made: RestorePlan): [bigint, bigint][] => made.reads.map((r) => [r.from, r.to]);
const ms = (second: number): number => second * 1000;

describe('makePlan() to a second', () => {
  it('stops before the first command of the next second, whatever segment holds it', async () => {
    archive = await TestArchive.begun();
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1']);
    await archive.roll();
    const cut = archive.write(['SET', 'b', '2']);
    archive.write(`#TS:${FIRST + 1}`, ['SET', 'c', '3']);
    await archive.roll();
    const cut1 = archive.write(['SET', 'd', '4']);
    archive.write(`#TS:${FIRST + 2}`, ['SET', 'e', '5']);
    await archive.roll();
    const first = await at(FIRST);
    expect(first).toMatchObject({
      at: FIRST,
      cut: { offset: cut, notBeforeMs: ms(FIRST + 1), notAfterMs: ms(FIRST + 1) - 1 },
      snapshot: { backup: 'bk-0' },
      databases: 1,
      feedBytes: ONE_KEY.length + Number(cut),
    });
    expect(reads(first)).toEqual([
      [0n, expect.any(BigInt)],
      [expect.any(BigInt), cut],
    ]);
    const second = await at(FIRST + 1);
    expect(second.cut.offset).toBe(cut1);
    expect(second.reads).toHaveLength(3);
    expect((await plan({ kind: 'latest' })).cut).toEqual(second.cut);
  });

  it('finds the second by samples alone, and says how far off the cut may be', async () => {
    archive = await TestArchive.begun();
    archive.write(['SET', 'a', '1']);
    archive.sample(FIRST, 200);
    archive.write(['SET', 'b', '2']);
    const cut = archive.end;
    archive.sample(FIRST + 1, 3);
    archive.write(['SET', 'c', '3']);
    await archive.roll();
    expect((await at(FIRST)).cut).toEqual({
      ...{ timeline: 't1', offset: cut, notBeforeMs: ms(FIRST + 1) + 3 },
      notAfterMs: ms(FIRST + 1) + 3,
    });
  });

  it('has the tightest bound that any mark at the cut gives, also one in the segment before', async () => {
    archive = await TestArchive.begun();
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1']);
    const cut = archive.end;
    archive.sample(FIRST, 700);
    await archive.roll();
    archive.write(`#TS:${FIRST + 3}`, ['SET', 'b', '2']);
    await archive.roll();
    expect((await at(FIRST)).cut).toEqual({
      ...{ timeline: 't1', offset: cut, notBeforeMs: ms(FIRST + 3), notAfterMs: ms(FIRST) + 700 },
    });
  });

  it('takes everything when nothing was written after the second', async () => {
    archive = await TestArchive.begun();
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1']);
    await archive.roll();
    await archive.prove(FIRST + 9);
    const made = await at(FIRST + 5);
    expect(made.cut).toEqual({
      ...{ timeline: 't1', offset: archive.end, notBeforeMs: null, notAfterMs: ms(FIRST) + 999 },
    });
    expect(reads(made)).toEqual([[0n, archive.end]]);
  });

  it('finds the last annotation some segments back: a second may take several', async () => {
    archive = await TestArchive.begun();
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1']);
    await archive.roll();
    for (const key of ['b', 'c']) {
      archive.write(['SET', key, '2']);
      await archive.roll();
    }
    await archive.prove(FIRST + 9);
    expect((await at(FIRST + 5)).cut).toEqual({
      ...{ timeline: 't1', offset: archive.end, notBeforeMs: null, notAfterMs: ms(FIRST) + 999 },
    });
  });

  it.each([
    ['at the end bounds it', true, ms(FIRST) + 700],
    ['before the end does not', false, null],
  ])('takes everything without annotations: a sample %s', async (_, atEnd, notAfterMs) => {
    archive = await TestArchive.begun();
    archive.write(['SET', 'a', '1']);
    archive.sample(FIRST, 700);
    if (!atEnd) archive.write(['SET', 'b', '2']);
    await archive.roll();
    await archive.prove(FIRST + 9);
    const { cut } = await at(FIRST + 5);
    expect(cut).toEqual({ timeline: 't1', offset: archive.end, notBeforeMs: null, notAfterMs });
  });

  it('leaves a transaction out that is not whole at the end', async () => {
    archive = await TestArchive.begun();
    const boundary = archive.write(`#TS:${FIRST}`, ['SET', 'a', '1']);
    archive.write(['MULTI'], ['SET', 'b', '2']);
    await archive.roll();
    await archive.prove(FIRST + 9);
    expect((await at(FIRST + 5)).cut.offset).toBe(boundary);
  });

  it('needs no segment for the state of a snapshot', async () => {
    archive = await TestArchive.begun();
    await archive.prove(FIRST + 5);
    const made = await at(FIRST + 2);
    expect([made.cut.offset, made.reads, made.feedBytes]).toEqual([0n, [], ONE_KEY.length]);
  });

  it('begins with the newest snapshot at or before the cut, or with the one it is told', async () => {
    archive = await TestArchive.begun();
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1'], `#TS:${FIRST + 1}`, ['SET', 'b', '2']);
    await archive.roll();
    const middle = archive.end;
    await archive.snapshot('bk-1', ONE_KEY, FIRST + 2);
    archive.write(`#TS:${FIRST + 2}`, ['SET', 'c', '3'], `#TS:${FIRST + 3}`, ['SET', 'd', '4']);
    await archive.roll();
    const [first, second, third] = [await at(FIRST), await at(FIRST + 1), await at(FIRST + 2)];
    expect(first.snapshot.backup).toBe('bk-0');
    expect([second.snapshot.backup, second.cut.offset, reads(second)]).toEqual([
      ...['bk-1', middle, []],
    ]);
    expect([third.snapshot.backup, reads(third)]).toEqual(['bk-1', [[middle, third.cut.offset]]]);
    const older = await plan({ kind: 'second', second: FIRST + 2 }, { snapshot: 'bk-0' });
    expect(older.cut).toEqual(third.cut);
    expect(reads(older)).toEqual([
      [0n, middle],
      [middle, third.cut.offset],
    ]);
  });

  it('asks for as many databases as snapshot and log use', async () => {
    archive = await TestArchive.begun(new RdbBuilder().selectDb(3).string('a', 'b').build());
    await archive.prove(FIRST + 1);
    expect((await at(FIRST)).databases).toBe(4);
    archive.write(['SELECT', '11'], ['SET', 'a', '1'], ['MOVE', 'a', '14'], `#TS:${FIRST + 9}`);
    await archive.roll();
    expect((await plan({ kind: 'latest' })).databases).toBe(15);
  });

  it('counts times from the end of the second', async () => {
    archive = await TestArchive.begun();
    await archive.prove(FIRST + 1);
    const { ttl } = await plan({ kind: 'second', second: FIRST }, { ttl: { mode: 'remaining' } });
    expect(ttl).toEqual({ mode: 'remaining', atMs: ms(FIRST) + 999, nowMs: ms(FIRST) + 3_600_000 });
  });
});

describe('makePlan() to a second that is not restorable', () => {
  const refusal = (second: number | null) =>
    expect.objectContaining({
      ...{ code: 'TM_TIME_NOT_RESTORABLE', exitCode: 13 },
      ...(second === null ? {} : { context: expect.objectContaining({ second }) as unknown }),
    }) as unknown;

  it('names the hole and the nearest seconds on both sides', async () => {
    archive = await TestArchive.begun();
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1'], `#TS:${FIRST + 2}`, ['SET', 'b', '1']);
    await archive.roll();
    await archive.close('rewrite-unobserved');
    await archive.begin('t2', 'rewrite-unobserved');
    await archive.snapshot('bk-1', ONE_KEY, FIRST + 10);
    await archive.prove(FIRST + 20);
    const iso = (second: number): string => new Date(ms(second)).toISOString().slice(0, 19);
    await expect(at(FIRST + 5)).rejects.toMatchObject({
      ...{ code: 'TM_TIME_NOT_RESTORABLE', exitCode: 13 },
      context: { second: FIRST + 5, nearestBefore: FIRST + 1, nearestAfter: FIRST + 10 },
      message: expect.stringContaining('hole: rewrite-unobserved') as unknown,
      hint: `nearest restorable: ${iso(FIRST + 1)}Z or ${iso(FIRST + 10)}Z`,
    });
    expect((await at(FIRST + 1)).cut.timeline).toBe('t1');
    expect((await at(FIRST + 10)).cut.timeline).toBe('t2');
    await expect(at(FIRST - 1)).rejects.toEqual(refusal(FIRST - 1));
    await expect(at(FIRST + 21)).rejects.toEqual(refusal(FIRST + 21));
  });

  it('says when nothing can be restored yet', async () => {
    archive = await TestArchive.open();
    await expect(plan({ kind: 'latest' })).rejects.toEqual(refusal(null));
    await expect(to(0n)).rejects.toEqual(refusal(null));
    await archive.begin('t1');
    archive.write(`#TS:${FIRST}`, ['SET', 'a', '1'], `#TS:${FIRST + 2}`);
    await archive.roll();
    await expect(at(FIRST)).rejects.toMatchObject({
      hint: 'nothing can be restored yet: no snapshot is stored',
    });
  });

  it('knows only instances of the store', async () => {
    archive = await TestArchive.begun();
    await expect(plan({ kind: 'latest' }, { instance: 'other' })).rejects.toMatchObject({
      ...{ code: 'TM_NOT_FOUND', exitCode: 10 },
    });
  });
});

describe('makePlan() to an offset', () => {
  it('goes back to the last boundary outside a transaction', async () => {
    archive = await TestArchive.begun();
    const one = archive.write(['SET', 'a', '1']);
    const two = archive.write(['SELECT', '2'], ['SET', 'b', '2']);
    await archive.roll();
    archive.write(['MULTI'], ['SET', 'c', '3']);
    await archive.roll(); // a segment may end within a transaction
    const three = archive.write(['SET', 'd', '4'], ['EXEC']);
    const four = archive.write(['SET', 'e', '5']);
    await archive.roll();
    const wanted: readonly (readonly [bigint, bigint])[] = [
      [0n, 0n],
      [1n, 0n],
      [one - 1n, 0n],
      [one, one],
      [one + 1n, one],
      [two, two],
      [two + 1n, two],
      [three - 1n, two],
      [three, three],
      [four - 1n, three],
      [four, four],
    ];
    for (const [offset, boundary] of wanted) {
      const made = await to(offset);
      expect([offset, made.cut.offset, made.at]).toEqual([offset, boundary, null]);
      expect(reads(made).at(-1)?.[1] ?? 0n).toBe(boundary);
    }
  });

  it('does not go back beyond the snapshot it begins with', async () => {
    archive = await TestArchive.begun();
    archive.write(['SET', 'a', '1']);
    await archive.roll();
    const base = archive.end;
    await archive.snapshot('bk-1');
    archive.write(['SET', 'b', '2']);
    await archive.roll();
    const made = await to(base + 3n);
    expect([made.cut.offset, made.reads, made.snapshot.backup]).toEqual([base, [], 'bk-1']);
  });

  it.each([-1n, 1_000_000n])('refuses %i with the end of the timeline', async (offset) => {
    archive = await TestArchive.begun();
    archive.write(['SET', 'a', '1']);
    await archive.roll();
    await expect(to(offset)).rejects.toMatchObject({
      ...{ code: 'TM_OFFSET_NOT_RESTORABLE', exitCode: 13, context: { offset, end: archive.end } },
      hint: `timeline t1 reaches from 0 to ${archive.end}`,
    });
  });

  it('refuses an offset before the first snapshot, and one of a timeline that is not known', async () => {
    archive = await TestArchive.open();
    await archive.begin('t1');
    archive.write(['SET', 'a', '1']);
    await archive.roll();
    await archive.snapshot('bk-0');
    await expect(to(5n)).rejects.toMatchObject({ code: 'TM_OFFSET_NOT_RESTORABLE' });
    const unknown = { code: 'TM_NOT_FOUND', context: { timeline: 't9' } };
    await expect(to(5n, 't9')).rejects.toMatchObject(unknown);
    await expect(to(0n, 't9')).rejects.toMatchObject(unknown);
  });

  it('means the newest timeline unless another is named', async () => {
    archive = await TestArchive.begun();
    archive.write(['SET', 'a', '1'], ['SET', 'b', '2']);
    await archive.roll();
    await archive.close('divergent-tail');
    await archive.begin('t2', 'divergent-tail');
    await archive.snapshot('bk-1');
    archive.write(['SET', 'c', '3']);
    await archive.roll();
    expect((await to(0n)).cut.timeline).toBe('t2');
    expect((await to(0n, 't1')).snapshot.backup).toBe('bk-0');
  });
});

describe('makePlan() to a backup', () => {
  it('reads its snapshot and nothing else', async () => {
    archive = await TestArchive.begun();
    archive.write(['SET', 'a', '1']);
    await archive.roll();
    await archive.snapshot('bk-1', ONE_KEY, FIRST + 4);
    archive.write(['SET', 'b', '2']);
    await archive.roll();
    const made = await plan({ kind: 'backup', backup: 'bk-1' });
    expect(made).toMatchObject({
      ...{ at: null, reads: [], snapshot: { backup: 'bk-1' }, ttl: { atMs: ms(FIRST + 4) } },
      sealedBytes: made.snapshot.object.size,
    });
  });

  it('refuses one that is not there', async () => {
    archive = await TestArchive.begun();
    await expect(plan({ kind: 'backup', backup: 'bk-9' })).rejects.toMatchObject({
      ...{ code: 'TM_NOT_FOUND', hint: `tidemark backup list ${ARCHIVED}` },
    });
  });
});
