import { planReads, type PlannedSegment } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';

const segment = (start: number, end: number, level = 0, timeline = 'a'): PlannedSegment => ({
  timeline,
  start: BigInt(start),
  end: BigInt(end),
  level,
});
const snapshot = (
  offset: number,
  timeline = 'a',
  id = '',
): { timeline: string; offset: bigint; id: string } => ({ timeline, offset: BigInt(offset), id });

const small = [segment(0, 10), segment(10, 20), segment(20, 30), segment(30, 40)];

describe('planReads()', () => {
  it('takes the newest snapshot at or before the cut and the segments from there', () => {
    const plan = planReads({
      snapshots: [snapshot(0), snapshot(15), snapshot(35), snapshot(20, 'b')],
      segments: [...small].reverse(),
      timeline: 'a',
      cutOffset: 33n,
    });
    expect(plan.snapshot.offset).toBe(15n);
    expect(plan.segments).toEqual(small.slice(1));
    expect(plan.reads.map(({ from, to }) => [from, to])).toEqual([
      [15n, 20n],
      [20n, 30n],
      [30n, 33n],
    ]);
  });

  it('needs no segment when the snapshot lies at the cut', () => {
    const plan = planReads({
      snapshots: [snapshot(20)],
      segments: [],
      timeline: 'a',
      cutOffset: 20n,
    });
    expect(plan.segments).toEqual([]);
    expect(plan.reads).toEqual([]);
  });

  it('takes the last of several snapshots at one offset', () => {
    const snapshots = [snapshot(5, 'a', 'old'), snapshot(5, 'a', 'new')];
    const plan = planReads({ snapshots, segments: [], timeline: 'a', cutOffset: 5n });
    expect(plan.snapshot.id).toBe('new');
  });

  it('prefers merged levels that reach further, and of equal ones the higher level', () => {
    const merged = segment(0, 30, 1);
    const higher = segment(0, 30, 2);
    const plan = planReads({
      snapshots: [snapshot(12)],
      segments: [...small, merged, higher],
      timeline: 'a',
      cutOffset: 35n,
    });
    expect(plan.reads).toEqual([
      { segment: higher, from: 12n, to: 30n },
      { segment: small[3], from: 30n, to: 35n },
    ]);
  });

  it('works around a merged level that has a gap behind it', () => {
    const plan = planReads({
      snapshots: [snapshot(0)],
      segments: [segment(0, 10), segment(5, 25, 1), segment(25, 40)],
      timeline: 'a',
      cutOffset: 40n,
    });
    expect(plan.reads.map(({ from, to }) => [from, to])).toEqual([
      [0n, 10n],
      [10n, 25n],
      [25n, 40n],
    ]);
  });

  const refusal = (
    segments: readonly PlannedSegment[],
    cutOffset: bigint,
    snapshots = [snapshot(0)],
  ): unknown => {
    try {
      planReads({ snapshots, segments, timeline: 'a', cutOffset });
    } catch (error) {
      return error;
    }
    return null;
  };

  it.each([
    ['in the middle', [segment(0, 10), segment(20, 30)], 30n, 10n, 20n],
    ['at the start', [segment(10, 30)], 30n, 0n, 10n],
    ['at the end', [segment(0, 10)], 25n, 10n, 25n],
    ['everywhere', [], 25n, 0n, 25n],
    ['before a segment after the cut', [segment(0, 10), segment(40, 50)], 25n, 10n, 25n],
    ['though another timeline has it', [segment(0, 10), segment(10, 30, 0, 'b')], 25n, 10n, 25n],
    ['behind an empty segment', [segment(0, 10), segment(10, 10)], 25n, 10n, 25n],
  ])('names the missing range: %s', (_, segments, cut, missingFrom, missingTo) => {
    expect(refusal(segments, cut)).toMatchObject({
      code: 'TM_OFFSET_NOT_RESTORABLE',
      context: { timeline: 'a', cutOffset: cut, missingFrom, missingTo },
    });
  });

  it('refuses when no snapshot lies at or before the cut', () => {
    expect(refusal(small, 5n, [snapshot(6), snapshot(0, 'b')])).toMatchObject({
      code: 'TM_OFFSET_NOT_RESTORABLE',
      context: { missingFrom: 0n, missingTo: 5n },
    });
  });
});
