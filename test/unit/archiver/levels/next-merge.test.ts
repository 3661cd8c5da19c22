import type { KeptSegment } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import {
  MERGED_BYTES_MAX,
  nextMerge,
  type MergeView,
} from '../../../../services/archiver/src/levels/next-merge.ts';
import { stored } from '../../../support/log-events.ts';

const MINUTE = 60_000;
const MIB = 1024 * 1024;

interface Row {
  readonly atMs: number;
  readonly bytes?: number;
  readonly level?: number;
  readonly stretch?: number;
  /** Bytes of an unfinished command before it. */
  readonly partial?: number;
  /** Bytes of the log that no row holds before it. */
  readonly gap?: number;
  readonly lost?: boolean;
}

function viewOf(rows: readonly Row[], nowMs: number, endPartialBytes = 0): MergeView {
  let at = 0n;
  const lost = new Set<KeptSegment>();
  const segments = rows.map((row, seq): KeptSegment => {
    const { atMs, bytes = 10, level = 0, stretch = 0, partial = 0, gap = 0 } = row;
    const start = at + BigInt(gap);
    at = start + BigInt(bytes);
    const { segment, object } = stored(start, at, { segment: { partialBytes: partial } });
    const header = { ...segment, ...(level > 0 && { level }) };
    const captured = { first: seq, last: seq };
    const one = { seq, bodyOffset: 0, object, header, captured, stretch, provenTo: null, atMs };
    if (row.lost === true) lost.add(one);
    return one;
  });
  return { segments, endPartialBytes, nowMs, isAtHand: (one) => !lost.has(one) };
}

/** Level and numbers of the rows that are merged next. */
function next(rows: readonly Row[], nowMs: number, endPartialBytes = 0): unknown {
  const run = nextMerge(viewOf(rows, nowMs, endPartialBytes));
  return run && { level: run.level, rows: run.segments.map(({ seq }) => seq) };
}

const seconds = (from: number, count: number, over: Partial<Row> = {}): Row[] =>
  Array.from({ length: count }, (_, i) => ({ atMs: from + i * 1000, ...over }));

describe('nextMerge()', () => {
  it('waits until a minute is over, and a little longer for what comes late', () => {
    const rows = seconds(0, 4);
    expect(next(rows, MINUTE + 1_999)).toBeNull();
    expect(next(rows, MINUTE + 2_000)).toEqual({ level: 1, rows: [0, 1, 2, 3] });
  });

  it('does not wait where a segment of the next minute is stored', () => {
    const rows = [...seconds(0, 4), { atMs: MINUTE }];
    expect(next(rows, MINUTE)).toEqual({ level: 1, rows: [0, 1, 2, 3] });
  });

  it('merges minutes into ten of them and those into an hour, the lower level first', () => {
    const minutes = Array.from({ length: 10 }, (_, i) => ({ atMs: i * MINUTE, level: 1 }));
    const tens = Array.from({ length: 6 }, (_, i) => ({ atMs: i * 10 * MINUTE, level: 2 }));
    expect(next(minutes, 10 * MINUTE)).toBeNull();
    expect(next(minutes, 11 * MINUTE)).toMatchObject({ level: 2, rows: { length: 10 } });
    expect(next(tens, 61 * MINUTE)).toMatchObject({ level: 3, rows: { length: 6 } });
    const both = [...minutes, ...seconds(10 * MINUTE, 3)];
    expect(next(both, 12 * MINUTE)).toEqual({ level: 1, rows: [10, 11, 12] });
  });

  it('leaves alone what is one, or merged already', () => {
    expect(next([{ atMs: 0 }], 2 * MINUTE)).toBeNull();
    const hours = [0, 1].map((i) => ({ atMs: i * 60 * MINUTE, level: 3 }));
    expect(next(hours, 200 * MINUTE)).toBeNull();
  });

  it('takes single seconds into a higher level when their minute had but one', () => {
    const rows = [{ atMs: 0 }, { atMs: MINUTE, level: 1 }, { atMs: 3 * MINUTE }];
    expect(next(rows, 11 * MINUTE)).toEqual({ level: 2, rows: [0, 1, 2] });
  });

  it.each([
    ['a step of the clock', { stretch: 1 }],
    ['bytes that are missing', { gap: 1 }],
  ])('does not merge over %s', (_, over) => {
    const rows = [
      ...seconds(0, 3),
      ...seconds(3_000, 1, over),
      ...seconds(4_000, 2, { ...over, gap: 0 }),
    ];
    expect(next(rows, 2 * MINUTE)).toEqual({ level: 1, rows: [0, 1, 2] });
  });

  it('merges around a segment whose content is not at hand', () => {
    const rows = [...seconds(0, 2), ...seconds(2_000, 1, { lost: true }), ...seconds(3_000, 3)];
    expect(next(rows, 2 * MINUTE)).toEqual({ level: 1, rows: [0, 1] });
    expect(next([{ atMs: 0, level: 1 }, ...rows.slice(2)], 2 * MINUTE)).toEqual({
      level: 1,
      rows: [2, 3, 4],
    });
  });

  it('begins and ends between two commands', () => {
    const rows = [
      ...seconds(0, 1, { partial: 5 }),
      ...seconds(1_000, 3),
      ...seconds(4_000, 1, { partial: 7 }),
    ];
    // The fourth ends within the command that the fifth goes on with.
    expect(next(rows, 2 * MINUTE)).toEqual({ level: 1, rows: [1, 2, 3, 4] });
    expect(next(rows, 2 * MINUTE, 9)).toEqual({ level: 1, rows: [1, 2] });
    expect(next(seconds(0, 3), 2 * MINUTE, 9)).toEqual({ level: 1, rows: [0, 1] });
    expect(next(seconds(0, 3, { partial: 1 }), 2 * MINUTE)).toBeNull();
  });

  it('makes no segment of more than 64 MiB, and moves no large ones about', () => {
    const rows = seconds(0, 40, { bytes: 3 * MIB });
    expect(next(rows, 2 * MINUTE)).toMatchObject({ level: 1, rows: { length: 21 } });
    expect(21 * 3 * MIB).toBeLessThanOrEqual(MERGED_BYTES_MAX);
    // A full one does not wait for the end of its minute.
    expect(next(rows, 30_000)).toMatchObject({ level: 1, rows: { length: 21 } });
    expect(next(rows.slice(0, 21), 30_000)).toBeNull();
    expect(next(seconds(0, 40, { bytes: 8 * MIB }), 2 * MINUTE)).toBeNull();
    expect(next(seconds(0, 3, { bytes: 80 * MIB }), 2 * MINUTE)).toBeNull();
  });

  it('ends: merging what it names leaves less to merge each time', () => {
    let rows: Row[] = seconds(0, 7_300, { bytes: 40_000 });
    const nowMs = 10_000_000;
    for (let merges = 0; ; merges++) {
      const run = nextMerge(viewOf(rows, nowMs));
      if (run === null) break;
      expect(merges).toBeLessThan(200);
      const [first, last] = [run.segments[0], run.segments.at(-1)];
      const bytes = run.segments.reduce((sum, { header }) => sum + header.rawBytes, 0);
      const row = { atMs: last?.atMs ?? 0, bytes, level: run.level };
      rows = [...rows.slice(0, first?.seq), row, ...rows.slice((last?.seq ?? 0) + 1)];
    }
    // 24 MB in ten minutes: two of them fit into one, and an hour into three.
    expect(rows.map(({ level }) => level)).toEqual([3, 3, 3, 3, 3, 3, 2]);
  });
});
