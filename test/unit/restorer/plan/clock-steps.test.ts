import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WantedPoint } from '../../../../services/restorer/src/plan/make-plan.ts';
import type { RestorePlan } from '../../../../services/restorer/src/plan/restore-plan.ts';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { ARCHIVED, FIRST, ONE_KEY, TestArchive } from '../../../support/test-archive.ts';

const HOUR = 3_600;

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
});
afterEach(() => archive[Symbol.asyncDispose]());

async function plan(
  point: WantedPoint,
  mode: 'absolute' | 'remaining' = 'absolute',
): Promise<RestorePlan> {
  await using prepared = await preparePlan(
    { instance: ARCHIVED, point, ttl: { mode } },
    await archive.environment(),
  );
  return prepared.plan;
}
const at = (second: number, timeline: string | null = null): Promise<RestorePlan> =>
  plan({ kind: 'second', second, timeline });
const cutAt = async (second: number): Promise<bigint> => (await at(second)).cut.offset;
const jump = (direction: 'back' | 'forward', from: number, to: number) => ({
  ...{ direction, fromMs: from * 1000, toMs: to * 1000 },
});
const iso = (second: number): string => new Date(second * 1000).toISOString().replace('.000Z', 'Z');

/** One command in each second `from..to`, a sample before each; gives the offset after each. */
function write(from: number, to: number, jumps: ReturnType<typeof jump>[] = []): bigint[] {
  const ends: bigint[] = [];
  for (let second = from; second <= to; second++) {
    archive.sample(second, 0, second === from ? jumps : []);
    ends.push(archive.write(['SET', `k${second}`, 'v']));
  }
  return ends;
}

describe('makePlan() where the clock was set back', () => {
  it('gives each pass of a refused second, and the seconds around as they passed', async () => {
    const first = write(FIRST, FIRST + 5);
    const second = write(FIRST + 3, FIRST + 8, [jump('back', FIRST + 6, FIRST + 3)]);
    await archive.roll();
    expect(await cutAt(FIRST + 2)).toBe(first[2]);
    expect(await cutAt(FIRST + 7)).toBe(second[4]);
    const hints = `--offset ${first[4]} --timeline t1 or --offset ${second[1]} --timeline t1`;
    await expect(at(FIRST + 4)).rejects.toMatchObject({
      ...{ code: 'TM_TIME_NOT_RESTORABLE', exitCode: 13 },
      message: expect.stringContaining(
        'hole: clock-step; the clock of the server showed it 2 times',
      ) as unknown,
      hint: expect.stringMatching(
        new RegExp(`: ${hints}; nearest restorable: ${iso(FIRST + 2)} or ${iso(FIRST + 7)}$`),
      ) as unknown,
      context: {
        ...{ second: FIRST + 4, nearestBefore: FIRST + 2, nearestAfter: FIRST + 7 },
        ...{ pass1Timeline: 't1', pass1Offset: String(first[4]) },
        ...{ pass2Timeline: 't1', pass2Offset: String(second[1]) },
      },
    });
    await expect(at(FIRST + 4, 't1')).rejects.toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE' });
  });

  it('finds the cut of a second by the marks of its stretch alone', async () => {
    write(FIRST, FIRST + 2);
    write(FIRST + HOUR, FIRST + HOUR + 3, [jump('forward', FIRST + 3, FIRST + HOUR)]);
    const back = jump('back', FIRST + HOUR + 4, FIRST + 5);
    const after = write(FIRST + 5, FIRST + 8, [back]);
    await archive.roll();
    expect(await cutAt(FIRST + 6)).toBe(after[1]);
    // An hour ahead is yet to come: it is named, not taken.
    await expect(at(FIRST + HOUR + 1)).rejects.toMatchObject({
      message: expect.stringContaining('the clock of the server was set back') as unknown,
      hint: expect.stringMatching(/--offset \d+ --timeline t1; nearest restorable/) as unknown,
    });
    expect(await plan({ kind: 'latest' })).toMatchObject({ at: FIRST + 7 });
  });

  it('means the newest proven state by the latest, also while its seconds pass again', async () => {
    write(FIRST, FIRST + HOUR / 600);
    const back = write(FIRST + 1, FIRST + 3, [jump('back', FIRST + 7, FIRST + 1)]);
    await archive.roll();
    const made = await plan({ kind: 'latest' });
    expect([made.at, made.cut.offset]).toEqual([FIRST + 2, back[1]]);
    await expect(at(FIRST + 2)).rejects.toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE' });
  });

  it('takes the end of a stretch for the cut of its last seconds when nothing ran at the step', async () => {
    write(FIRST, FIRST + 2);
    const end = archive.end;
    archive.sample(FIRST + 9);
    archive.sample(FIRST - 900, 0, [jump('back', FIRST + 9, FIRST - 900)]);
    write(FIRST - 899, FIRST - 890);
    archive.sample(FIRST + 100, 0, [jump('forward', FIRST - 889, FIRST + 100)]);
    write(FIRST + 101, FIRST + 103);
    await archive.roll();
    expect(await cutAt(FIRST + 9)).toBe(end);
    expect(await cutAt(FIRST + 5)).toBe(end);
  });

  it('counts remaining lives from the time of the stretch that the cut lies in', async () => {
    write(FIRST, FIRST + 3);
    const after = write(FIRST - 50, FIRST - 45, [jump('back', FIRST + 4, FIRST - 50)]);
    await archive.roll();
    const { ttl } = await plan(
      { kind: 'offset', offset: after.at(-1)!, timeline: 't1' },
      'remaining',
    );
    expect(ttl.atMs).toBe((FIRST - 45) * 1000);
  });

  it('names the passes on every timeline that showed a second', async () => {
    write(FIRST, FIRST + 20);
    await archive.roll();
    await archive.close('aof-off');
    await archive.begin('t2', 'aof-off');
    await archive.snapshot('bk-1', ONE_KEY, FIRST + 40);
    write(FIRST + 40, FIRST + 45);
    write(FIRST + 10, FIRST + 50, [jump('back', FIRST + 46, FIRST + 10)]);
    await archive.roll();
    await expect(at(FIRST + 15)).rejects.toMatchObject({
      context: { pass1Timeline: 't1', pass2Timeline: 't2' },
    });
    expect((await at(FIRST + 15, 't1')).cut.timeline).toBe('t1');
    expect((await at(FIRST + 15, 't2')).cut.timeline).toBe('t2');
  });
});

describe('makePlan() to a second of a named timeline', () => {
  it('resolves it there, though another timeline is current then', async () => {
    const first = write(FIRST, FIRST + 20);
    await archive.roll();
    await archive.close('divergent-tail');
    await archive.begin('t2', 'divergent-tail');
    await archive.snapshot('bk-1', ONE_KEY, FIRST + 10);
    write(FIRST + 10, FIRST + 30);
    await archive.roll();
    expect((await at(FIRST + 15)).cut.timeline).toBe('t2');
    expect((await at(FIRST + 15, 't1')).cut).toMatchObject({ timeline: 't1', offset: first[15] });
    await expect(at(FIRST + 25, 't1')).rejects.toMatchObject({ code: 'TM_TIME_NOT_RESTORABLE' });
    await expect(at(FIRST + 15, 't9')).rejects.toMatchObject({
      ...{ code: 'TM_NOT_FOUND', exitCode: 10, context: { timeline: 't9' } },
      hint: `tidemark windows ${ARCHIVED} --timelines`,
    });
  });
});

describe('makePlan() right before a command', () => {
  const before = (offset: bigint): Promise<RestorePlan> =>
    plan({ kind: 'before', offset, timeline: null });
  const refused = (nearestBefore: bigint | null, nearestAfter: bigint | null): unknown =>
    expect.objectContaining({
      ...{ code: 'TM_OFFSET_NO_COMMAND', exitCode: 13 },
      context: expect.objectContaining({ nearestBefore, nearestAfter }) as unknown,
    });

  it('stops exactly where a command or a transaction starts, and nowhere else', async () => {
    const one = archive.write(['SET', 'a', '1']);
    archive.write(['MULTI'], ['SET', 'b', '2']);
    await archive.roll();
    const inside = archive.end;
    const two = archive.write(['SET', 'c', '3'], ['EXEC']);
    const three = archive.write(['SET', 'd', '4']);
    await archive.roll();
    for (const offset of [0n, one, two]) expect((await before(offset)).cut.offset).toBe(offset);
    await expect(before(1n)).rejects.toEqual(refused(0n, one));
    await expect(before(one + 3n)).rejects.toEqual(refused(one, two));
    await expect(before(inside)).rejects.toEqual(refused(one, two));
    await expect(before(two + 1n)).rejects.toEqual(refused(two, null));
    await expect(before(three)).rejects.toEqual(refused(two, null));
    await expect(before(three + 1n)).rejects.toMatchObject({ code: 'TM_OFFSET_NOT_RESTORABLE' });
  });

  it('knows no start where nothing was written', async () => {
    await expect(before(0n)).rejects.toEqual(refused(null, null));
  });
});
