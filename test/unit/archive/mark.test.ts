import { findCut, provenSecond, type Mark } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';

const annotation = (offset: number, second: number): Mark => ({
  offset: BigInt(offset),
  notBeforeMs: second * 1000,
  notAfterMs: second * 1000 - 1,
  source: 'annotation',
});
const sample = (offset: number, timeMs: number): Mark => ({
  offset: BigInt(offset),
  notBeforeMs: timeMs,
  notAfterMs: timeMs,
  source: 'sample',
});

describe('findCut() takes the first mark that is wholly after the second', () => {
  it('with annotations only', () => {
    const marks = [annotation(0, 10), annotation(100, 11), annotation(250, 14)];
    expect(findCut(marks, 10)).toEqual({ offset: 100n, notBeforeMs: 11_000, notAfterMs: 10_999 });
    // Nothing ran in the seconds 12 and 13.
    expect(findCut(marks, 12)?.offset).toBe(250n);
    expect(findCut(marks, 13)?.offset).toBe(250n);
    expect(findCut(marks, 14)).toBeNull();
    expect(findCut(marks, 3)?.offset).toBe(0n);
  });

  it('with samples only, whose bounds may reach into the next second', () => {
    const marks = [sample(0, 9_900), sample(40, 10_100), sample(90, 10_999), sample(120, 11_050)];
    expect(findCut(marks, 10)).toEqual({ offset: 120n, notBeforeMs: 11_050, notAfterMs: 11_050 });
    expect(findCut(marks, 9)).toEqual({ offset: 40n, notBeforeMs: 10_100, notAfterMs: 10_100 });
  });

  it('with the tightest upper bound of the marks at the same offset', () => {
    const idle = [sample(40, 10_800), sample(40, 11_000), sample(40, 11_200)];
    expect(findCut(idle, 10)).toEqual({ offset: 40n, notBeforeMs: 11_000, notAfterMs: 10_800 });
    const both = [sample(40, 11_100), annotation(40, 11)];
    expect(findCut(both, 10)).toEqual({ offset: 40n, notBeforeMs: 11_100, notAfterMs: 10_999 });
    const open: Mark[] = [{ ...annotation(40, 11), notAfterMs: null }, sample(50, 11_100)];
    expect(findCut(open, 10)?.notAfterMs).toBeNull();
  });

  it('at the end of the first pass when the clock went back', () => {
    const marks = [annotation(0, 10), annotation(50, 11), annotation(80, 9), annotation(90, 11)];
    expect(findCut(marks, 10)?.offset).toBe(50n);
    expect(findCut(marks, 9)?.offset).toBe(0n);
  });

  it('of no marks is null', () => {
    expect(findCut([], 10)).toBeNull();
  });
});

describe('provenSecond()', () => {
  it('is the greatest T with the time at (T + 1) s or later', () => {
    expect(provenSecond(11_000)).toBe(10);
    expect(provenSecond(10_999)).toBe(9);
    expect(provenSecond(11_999)).toBe(10);
  });
});
