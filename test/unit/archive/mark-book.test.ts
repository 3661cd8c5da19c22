import { findCut, MarkBook } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';

const us = (ms: number): number => ms * 1000;

describe('MarkBook annotations', () => {
  it('give the wide bound first and the tight one when the second grows', () => {
    const book = new MarkBook();
    expect(book.addAnnotation(5n, 10)).toEqual({
      offset: 5n,
      notBeforeMs: 10_000,
      notAfterMs: 10_999,
      source: 'annotation',
    });
    expect(book.addAnnotation(50n, 12).notAfterMs).toBe(11_999);
  });

  it('give the wide bound of the latest second when it does not grow', () => {
    const book = new MarkBook();
    book.addAnnotation(0n, 9);
    book.addAnnotation(10n, 10);
    // A restart writes the second again; commands of second 10 stand before it.
    expect(book.addAnnotation(20n, 10).notAfterMs).toBe(10_999);
    expect(book.addAnnotation(30n, 5).notAfterMs).toBe(10_999);
    // Back to 10 from 5: still not later than everything before.
    expect(book.addAnnotation(40n, 10).notAfterMs).toBe(10_999);
    expect(book.addAnnotation(50n, 11).notAfterMs).toBe(10_999);
  });

  it('give the wide bound once after an interruption', () => {
    const book = new MarkBook();
    book.addAnnotation(0n, 9);
    book.annotationsInterrupted();
    expect(book.addAnnotation(10n, 12).notAfterMs).toBe(12_999);
    expect(book.addAnnotation(20n, 13).notAfterMs).toBe(12_999);
  });
});

describe('MarkBook provenTo()', () => {
  it('needs a later mark at or before the durable offset', () => {
    const book = new MarkBook();
    expect(book.provenTo(1_000n)).toBeNull();
    book.addSample(0n, us(10_200));
    expect(book.provenTo(0n)).toBe(9);
    book.addSample(100n, us(11_000));
    expect(book.provenTo(99n)).toBe(9);
    expect(book.provenTo(100n)).toBe(10);
  });

  it('grows while the instance is idle, by samples at one offset', () => {
    const book = new MarkBook();
    for (let ms = 10_000; ms < 3_610_000; ms += 200) book.addSample(40n, us(ms));
    expect(book.provenTo(40n)).toBe(3_608);
    expect(book.marks.length).toBeLessThanOrEqual(4);
    expect(findCut(book.marks, 2_000)).toEqual({
      offset: 40n,
      notBeforeMs: 3_609_800,
      notAfterMs: 10_000,
    });
  });

  it('stands still while the clock does', () => {
    const book = new MarkBook();
    for (let i = 0; i < 50; i++) book.addSample(BigInt(i * 10), us(10_500));
    expect(book.provenTo(1_000n)).toBe(9);
    expect(book.marks.length).toBeLessThanOrEqual(4);
  });

  it('does not fall when a mark is a little older, nor when marks are forgotten', () => {
    const book = new MarkBook();
    book.addAnnotation(0n, 100);
    book.addSample(10n, us(100_400));
    book.addSample(20n, us(99_900));
    expect(book.provenTo(20n)).toBe(99);
    book.take(20n);
    book.forget(21n);
    expect(book.marks).toEqual([]);
    expect(book.provenTo(0n)).toBe(99);
    book.addSample(30n, us(99_950));
    expect(book.provenTo(30n)).toBe(99);
  });
});

describe('MarkBook order and thinning', () => {
  it('keeps offset order whatever the order of arrival', () => {
    const book = new MarkBook();
    book.addSample(500n, us(12_000));
    book.addAnnotation(300n, 11);
    book.addSample(300n, us(10_900));
    book.addSample(100n, us(10_100));
    expect(book.marks.map((mark) => [mark.offset, mark.notBeforeMs])).toEqual([
      [100n, 10_100],
      [300n, 10_900],
      [300n, 11_000],
      [500n, 12_000],
    ]);
  });

  it('keeps at most 4 marks of a second, its first and its last sample among them', () => {
    const book = new MarkBook();
    const first = book.addAnnotation(1_000n, 10);
    for (let i = 0; i < 9; i++) book.addSample(BigInt(1_010 + i * 10), us(10_000 + i * 100));
    const last = book.addSample(1_200n, us(10_990));
    expect(book.marks).toHaveLength(4);
    expect(book.marks[0]).toEqual(first);
    expect(book.marks[1]).toMatchObject({ offset: 1_010n });
    expect(book.marks.at(-1)).toEqual(last);
  });

  it('gives every mark to exactly one segment, late ones to the next', () => {
    const book = new MarkBook();
    const a = book.addAnnotation(0n, 10);
    const b = book.addAnnotation(100n, 11);
    const ahead = book.addSample(300n, us(13_000));
    expect(book.take(100n)).toEqual([a, b]);
    const late = book.addSample(50n, us(10_500));
    book.forget(101n);
    expect(book.marks).toEqual([late, ahead]);
    expect(book.take(299n)).toEqual([late]);
    expect(book.take(300n)).toEqual([ahead]);
    expect(book.take(1_000n)).toEqual([]);
  });

  it('goes on after a restart with the marks that segments hold', () => {
    const book = new MarkBook();
    book.restore({ offset: 0n, notBeforeMs: 10_000, notAfterMs: 10_999, source: 'annotation' });
    book.restore({ offset: 5n, notBeforeMs: 10_500, notAfterMs: 10_500, source: 'sample' });
    expect(book.take(1_000n)).toEqual([]);
    expect(book.addAnnotation(20n, 11).notAfterMs).toBe(10_999);
    expect(book.provenTo(20n)).toBe(10);
  });

  it('refuses what is no time or no offset', () => {
    const internal = expect.objectContaining({ code: 'TM_INTERNAL' }) as Error;
    expect(() => new MarkBook().addSample(0n, NaN)).toThrow(internal);
    expect(() => new MarkBook().addSample(-1n, 5)).toThrow(internal);
    expect(() => new MarkBook().addAnnotation(0n, -1)).toThrow(internal);
  });
});
