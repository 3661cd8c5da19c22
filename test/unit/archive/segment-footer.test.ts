import { readSegmentFooter, type Mark, type SegmentFooter } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import { decodeMarks, encodeMarks } from '../../../libs/archive/src/marks/mark-codec.ts';
import { log } from '../../support/command-log.ts';
import { buildSegment, footerOf, rangesOf } from '../../support/segments.ts';

const bytes = log(
  ...Array.from({ length: 60 }, (_, i) => `SET key:${i} ${i}`),
  'RENAME key:1 key:2',
);
const marks: Mark[] = Array.from({ length: 20 }, (_, i) => ({
  offset: BigInt(i * 50),
  notBeforeMs: 1_750_000_000_000 + i * 500,
  notAfterMs: i % 3 === 0 ? null : 1_750_000_000_000 + i * 500 - 1,
  source: i % 2 === 0 ? 'annotation' : 'sample',
}));
const { payload } = buildSegment(bytes, { frameBytes: 256, marks, exact: true });
const TRAILER = payload.length - 32;
const TABLE = Number(payload.readBigUInt64BE(TRAILER + 16));
const entry = (type: number): number => TABLE + (type - 1 - (type > 6 ? 1 : 0)) * 20;

const format = (context: object = {}): Error =>
  expect.objectContaining({
    code: 'TM_SEGMENT_FORMAT',
    context: expect.objectContaining(context) as object,
  }) as Error;

/** Opens every part of a footer. */
async function readAll(damaged: Buffer): Promise<SegmentFooter> {
  const footer = await readSegmentFooter(rangesOf(damaged), damaged.length);
  await footer.frames();
  await footer.marks();
  await footer.stats();
  (await footer.keys()).forEach(() => undefined);
  await footer.flow();
  return footer;
}

function changed(at: number, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(payload);
  change(copy.subarray(at));
  return copy;
}

describe('readSegmentFooter()', () => {
  it('reads all parts of a segment', async () => {
    const footer = await readAll(payload);
    expect(await footer.marks()).toEqual(marks);
    expect((await footer.keys()).count).toBe(60);
    expect((await footer.flow()).entries).toHaveLength(1);
  });

  it('reads parts that lie before the first read with further ranges', async () => {
    const random = (i: number): string => Buffer.from(`${Math.sin(i) * 1e15}`).toString('base64');
    const large = buildSegment(
      log(...Array.from({ length: 12_000 }, (_, i) => `SET ${random(i)} 1`)),
      {
        exact: true,
      },
    );
    const ranges: [number, number][] = [];
    const footer = await readSegmentFooter(rangesOf(large.payload, ranges), large.payload.length);
    expect((await footer.keys()).count).toBe(12_000);
    expect(ranges.length).toBe(3);
    expect(ranges[0]).toEqual([large.payload.length - 65_536, large.payload.length]);
    expect(ranges.every(([start, end]) => start >= 0 && end <= large.payload.length)).toBe(true);
  });

  it('refuses every truncation and every byte after the end', async () => {
    for (let length = 0; length < payload.length; length++) {
      await expect(readAll(payload.subarray(0, length))).rejects.toThrow(format());
    }
    await expect(readAll(Buffer.concat([payload, Buffer.of(0)]))).rejects.toThrow(format());
  });

  it('finds one changed byte anywhere in table or trailer', async () => {
    for (let at = TABLE; at < payload.length; at++) {
      const damaged = changed(at, (copy) => {
        copy[0] = (copy[0] ?? 0) ^ 0x41;
      });
      await expect(readAll(damaged)).rejects.toThrow(format());
    }
  });

  it.each([
    ['another magic', TRAILER, (copy: Buffer) => copy.write('TMSNP')],
    ['a version to come', TRAILER + 8, (copy: Buffer) => copy.writeUInt16BE(2)],
    ['65 sections', TRAILER + 10, (copy: Buffer) => copy.writeUInt16BE(65)],
    ['a table of 4 GB', TRAILER + 12, (copy: Buffer) => copy.writeUInt32BE(0xffff_ffff)],
    ['a table far away', TRAILER + 16, (copy: Buffer) => copy.writeBigUInt64BE(2n ** 63n)],
    ['the length of another object', TRAILER + 24, (copy: Buffer) => copy.writeBigUInt64BE(5n)],
  ])('names the trailer that claims %s', async (_, at, change) => {
    const damaged = changed(at, (copy) => {
      change(copy);
    });
    await expect(readAll(damaged)).rejects.toThrow(format({ offset: TRAILER }));
  });

  it.each([
    ['a codec that is not known', 2, (copy: Buffer) => copy.writeUInt8(9)],
    ['a place among the frames', 8, (copy: Buffer) => copy.writeBigUInt64BE(0n)],
    ['a place after the table', 8, (copy: Buffer) => copy.writeBigUInt64BE(2n ** 52n)],
    ['a packed length of 4 GB', 4, (copy: Buffer) => copy.writeUInt32BE(0xffff_ffff)],
    ['a type that does not rise', 0, (copy: Buffer) => copy.writeUInt16BE(1)],
  ])('refuses a section with %s', async (_, at, change) => {
    const damaged = changed(entry(3) + at, (copy) => {
      change(copy);
    });
    await expect(readAll(damaged)).rejects.toThrow(format());
  });

  it('allocates nothing for a section that claims 4 GB', async () => {
    for (const type of [2, 3, 5, 7]) {
      const damaged = changed(entry(type) + 16, (copy) => copy.writeUInt32BE(0xffff_fff0));
      const before = process.memoryUsage().arrayBuffers;
      await expect(readAll(damaged)).rejects.toThrow(/exceeds/);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1_048_576);
    }
  });

  it('refuses a section whose content is not of the claimed length', async () => {
    const codec = payload.readUInt8(entry(5) + 2);
    expect(codec).toBe(1);
    for (const raw of [1, 100, 2_000_000]) {
      const damaged = changed(entry(5) + 16, (copy) => copy.writeUInt32BE(raw));
      await expect(readAll(damaged)).rejects.toThrow(format());
    }
  });

  it('refuses a reader that gives fewer bytes than asked for', async () => {
    const short = (start: number, end: number): Promise<Buffer> =>
      Promise.resolve(payload.subarray(start, end - 1));
    await expect(readSegmentFooter(short, payload.length)).rejects.toThrow(format());
  });

  it('refuses a snapshot', async () => {
    await expect(readSegmentFooter(rangesOf(Buffer.alloc(31)), 31)).rejects.toThrow(format());
  });
});

describe('marks section', () => {
  it('keeps marks of earlier offsets, times that go back and bounds below the time', () => {
    const odd: Mark[] = [
      { offset: 5n, notBeforeMs: 100_000, notAfterMs: 100_999, source: 'annotation' },
      { offset: 900n, notBeforeMs: 4_000, notAfterMs: 3_999, source: 'annotation' },
      { offset: 900n, notBeforeMs: 0, notAfterMs: null, source: 'sample' },
      { offset: 2n ** 51n, notBeforeMs: 2 ** 45, notAfterMs: 2 ** 45, source: 'sample' },
    ];
    expect(decodeMarks(encodeMarks(odd, 800n), 800n)).toEqual(odd);
  });

  it('is refused where it is damaged', async () => {
    const encoded = encodeMarks(marks, 0n);
    expect(() => decodeMarks(Buffer.of(4, 0, 0), 0n)).toThrow(format());
    expect(() => decodeMarks(Buffer.of(0, 3, 0), 0n)).toThrow(format());
    expect(() => decodeMarks(Buffer.of(0, 0, 1), 0n)).toThrow(format());
    expect(() => decodeMarks(Buffer.of(0, 4, 0, 0, 2, 0), 0n)).toThrow(format());
    expect(() => decodeMarks(encoded.subarray(0, encoded.length - 1), 0n)).toThrow(format());
    expect(await (await footerOf(payload)).marks()).toEqual(marks);
  });
});
