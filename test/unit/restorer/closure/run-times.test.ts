import { describe, expect, it } from 'vitest';
import { linesOf, log } from '../../../support/command-log.ts';
import { feedAll, selectFrom, selecting } from '../../../support/selected-log.ts';
import { FIRST, ONE_KEY, TestArchive } from '../../../support/test-archive.ts';

const LIFE = 5_000;

/** Segments of a log of Redis 6: commands, with the second of a mark before and after them. */
type Segment = readonly [before: number | null, lines: readonly string[], after: number | null];

/** When a key expires by each of its RESTOREs: in a restore of everything, and of the key alone. */
async function expiries(segments: readonly Segment[]): Promise<readonly (readonly number[])[]> {
  await using archive = await TestArchive.open();
  await archive.begin('t1', 'attach', { version: '6.0.16' });
  await archive.snapshot('bk-0', ONE_KEY);
  archive.writeLog(log('SELECT 0'));
  for (const [before, lines, after] of segments) {
    if (before !== null) archive.sample(FIRST + before);
    archive.writeLog(log(...lines));
    if (after !== null) archive.sample(FIRST + after);
    await archive.roll();
  }
  const selected = await selectFrom(archive, selecting('old'));
  return [await feedAll(archive), selected.fed].map((fed) =>
    linesOf(fed)
      .filter((line) => line.startsWith('RESTORE old'))
      .map((line) => (Number(line.split(' ')[2]) - LIFE) / 1000 - FIRST),
  );
}

const RESTORE = `RESTORE old ${LIFE.toString()} payload REPLACE`;

describe('what is left of a life in a log of Redis 6 counts for a selection from when it ran', () => {
  it('by the marks of the segment before, though that is not needed', async () => {
    const [all, some] = await expiries([
      [null, ['SET old 1'], 10],
      [null, ['SET other 1'], 100],
      [null, [RESTORE], null],
    ]);
    expect(all).toEqual([100]);
    expect(some).toEqual(all);
  });

  it('not by the marks of the next segment that is needed', async () => {
    const [all, some] = await expiries([
      [10, [RESTORE], null],
      [null, ['SET other 1'], 100],
      [200, [RESTORE], null],
    ]);
    expect(all).toEqual([10, 200]);
    expect(some).toEqual(all);
  });
});
