import { computeWindows, type TimelineSpan } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import { firstSecondBehind } from '../../../../services/archiver/src/one-off/dump-log.ts';

const SECOND = 1_795_000_000;
const span = (timeline: string, from: number, to: number | null): TimelineSpan => ({
  ...{ timeline, from, to, steps: [], closedBecause: 'detached', openedBecause: 'attach' },
});

describe('firstSecondBehind()', () => {
  it('hides no second that the timeline before it has proven', () => {
    // The server forked in a second that the capture before has proven to its end.
    const previous = { from: SECOND - 50, provenTo: SECOND };
    const from = firstSecondBehind(previous, SECOND - 2);
    expect(from).toBe(SECOND + 1);
    const before = span('t1', previous.from, previous.provenTo);
    const { ranges } = computeWindows([before, span('t2', from, null)]);
    expect(ranges).toEqual([{ timeline: 't1', from: SECOND - 50, to: SECOND }]);
  });

  it('is the second of the snapshot where nothing before it reaches as far', () => {
    expect(firstSecondBehind(null, SECOND)).toBe(SECOND);
    expect(firstSecondBehind({ from: SECOND - 50, provenTo: SECOND - 9 }, SECOND)).toBe(SECOND);
    expect(firstSecondBehind({ from: null, provenTo: null }, SECOND)).toBe(SECOND);
  });

  it('stays behind what an earlier one-off backup stayed behind', () => {
    const first = firstSecondBehind({ from: SECOND - 50, provenTo: SECOND }, SECOND - 2);
    expect(firstSecondBehind({ from: first, provenTo: null }, SECOND - 1)).toBe(SECOND + 1);
  });
});
