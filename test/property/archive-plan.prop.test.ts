import {
  findCut,
  MarkBook,
  planReads,
  provenSecond,
  type Mark,
  type PlannedSegment,
} from '@tidemark/archive';
import { PlanError } from '@tidemark/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const segments = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 12 }), fc.nat(2)), {
    maxLength: 14,
  })
  .map((list) =>
    list.map(([start, length, level]): PlannedSegment => ({
      timeline: 'a',
      start: BigInt(start),
      end: BigInt(start + length),
      level,
    })),
  );
const snapshots = fc
  .array(fc.integer({ min: 0, max: 30 }), { maxLength: 4 })
  .map((list) => list.map((offset) => ({ timeline: 'a', offset: BigInt(offset) })));

describe('planReads()', () => {
  it('covers the way from the newest snapshot to the cut, or names a range that nothing covers', () => {
    fc.assert(
      fc.property(segments, snapshots, fc.integer({ min: 0, max: 40 }), (list, bases, cut) => {
        const cutOffset = BigInt(cut);
        const newest = bases.map((one) => Number(one.offset)).filter((one) => one <= cut);
        const from = newest.length === 0 ? null : Math.max(...newest);
        const covered = (at: number): boolean =>
          list.some((one) => one.start <= BigInt(at) && BigInt(at) < one.end);
        try {
          const plan = planReads({ snapshots: bases, segments: list, timeline: 'a', cutOffset });
          expect(Number(plan.snapshot.offset)).toBe(from);
          let at = plan.snapshot.offset;
          for (const read of plan.reads) {
            expect(read.from).toBe(at);
            expect(read.segment.start <= read.from && read.to <= read.segment.end).toBe(true);
            expect(read.to > read.from).toBe(true);
            at = read.to;
          }
          expect(at).toBe(cutOffset);
          expect(plan.segments).toEqual(plan.reads.map((read) => read.segment));
        } catch (error) {
          if (!(error instanceof PlanError)) throw error;
          expect(error.code).toBe('TM_OFFSET_NOT_RESTORABLE');
          if (from === null) return;
          const { missingFrom, missingTo } = error.context;
          expect(covered(Number(missingFrom))).toBe(false);
          expect(covered(Number(missingTo) - 1)).toBe(false);
          expect(Number(missingFrom)).toBeGreaterThanOrEqual(from);
          expect(Number(missingTo)).toBeLessThanOrEqual(cut);
          for (let at = from; at < Number(missingFrom); at++) expect(covered(at)).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
  });
});

/** What a server does: commands at rising offsets, its clock going on, sometimes back. */
const history = fc.array(
  fc.record({
    waitMs: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 900 }) },
      { weight: 2, arbitrary: fc.integer({ min: 900, max: 4_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: -6_000, max: -1 }) },
    ),
    bytes: fc.integer({ min: 0, max: 40 }),
    sampled: fc.boolean(),
  }),
  { minLength: 1, maxLength: 80 },
);

interface Command {
  readonly offset: number;
  readonly timeMs: number;
}

/** Plays a history into a book; commands are what really happened. */
function play(
  steps: readonly { waitMs: number; bytes: number; sampled: boolean }[],
  annotated: boolean,
): { book: MarkBook; all: Mark[]; commands: Command[]; wentBack: boolean } {
  const book = new MarkBook();
  const all: Mark[] = [];
  const commands: Command[] = [];
  let timeMs = 1_000_000;
  let end = 0;
  let lastSecond = 0;
  let wentBack = false;
  for (const { waitMs, bytes, sampled } of steps) {
    timeMs += waitMs;
    if (waitMs < 0) wentBack = true;
    if (bytes > 0) {
      const second = Math.floor(timeMs / 1000);
      if (annotated && second > lastSecond) {
        all.push(book.addAnnotation(BigInt(end), second));
        lastSecond = second;
      }
      commands.push({ offset: end, timeMs });
      end += bytes;
    }
    if (sampled) all.push(book.addSample(BigInt(end), timeMs * 1000));
  }
  all.sort((a, b) => Number(a.offset - b.offset) || a.notBeforeMs - b.notBeforeMs);
  return { book, all, commands, wentBack };
}

describe('marks', () => {
  it('say the truth about commands before and after them, thinned or not', () => {
    fc.assert(
      fc.property(history, fc.boolean(), (steps, annotated) => {
        const { book, commands, wentBack } = play(steps, annotated);
        if (wentBack) return;
        for (const mark of book.marks) {
          for (const { offset, timeMs } of commands) {
            if (offset >= mark.offset) expect(timeMs).toBeGreaterThanOrEqual(mark.notBeforeMs);
            else if (mark.notAfterMs !== null) {
              expect(timeMs).toBeLessThanOrEqual(mark.notAfterMs);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('cut a second with all of its commands before the cut, within the cut’s bounds', () => {
    fc.assert(
      fc.property(history, fc.boolean(), (steps, annotated) => {
        const { book, commands, wentBack } = play(steps, annotated);
        if (wentBack) return;
        for (let second = 998; second < 1_060; second++) {
          const cut = findCut(book.marks, second);
          if (cut === null) continue;
          for (const { offset, timeMs } of commands) {
            if (timeMs < (second + 1) * 1000) expect(BigInt(offset) < cut.offset).toBe(true);
            if (offset >= cut.offset) expect(timeMs).toBeGreaterThanOrEqual(cut.notBeforeMs);
            else if (cut.notAfterMs !== null) {
              expect(timeMs).toBeLessThanOrEqual(cut.notAfterMs);
            }
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('lose no cut and no proof by being thinned, whatever the clock does', () => {
    fc.assert(
      fc.property(history, fc.boolean(), fc.nat(3_000), (steps, annotated, durable) => {
        const { book, all } = play(steps, annotated);
        for (let second = 980; second < 1_060; second++) {
          expect(findCut(book.marks, second)?.offset).toBe(findCut(all, second)?.offset);
        }
        const best = all
          .filter((mark) => mark.offset <= durable)
          .reduce<number | null>((max, mark) => Math.max(max ?? 0, mark.notBeforeMs), null);
        const proven = best === null ? null : provenSecond(best);
        expect(book.provenTo(BigInt(durable))).toBe(proven);
        book.take(BigInt(durable));
        book.forget(BigInt(durable));
        expect(book.provenTo(BigInt(durable))).toBe(proven);
        for (let i = 1; i < book.marks.length; i++) {
          expect(book.marks[i - 1]!.offset <= book.marks[i]!.offset).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('keep at most 4 for a second while the clock does not go back', () => {
    fc.assert(
      fc.property(history, fc.boolean(), (steps, annotated) => {
        const { book, wentBack } = play(steps, annotated);
        if (wentBack) return;
        const perSecond = new Map<number, number>();
        for (const { notBeforeMs } of book.marks) {
          const second = Math.floor(notBeforeMs / 1000);
          perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
        }
        for (const count of perSecond.values()) expect(count).toBeLessThanOrEqual(4);
      }),
      { numRuns: 100 },
    );
  });
});
