import { frameCommands, framesOfRange, segmentCommands } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { log } from '../../support/command-log.ts';
import { buildSegment, chunked, collect, commandsOf, footerOf } from '../../support/segments.ts';

const raw = log(...Array.from({ length: 400 }, (_, i) => `SET key:${i} value-${i * 7}`));
const START = 5_000_000_000_000n;
const segment = buildSegment(raw, { frameBytes: 1024, offset: START });

describe('segmentCommands()', () => {
  it('gives all bytes for every way the payload comes in chunks', async () => {
    for (const size of [1, 9, 1000, 1 << 20]) {
      const source = segmentCommands(chunked(segment.payload, size), segment.header);
      expect((await collect(source)).equals(raw)).toBe(true);
    }
  });

  it.each([
    [0, 0],
    [0, 1],
    [1023, 1025],
    [1024, 2048],
    [1, raw.length],
    [5000, 5001],
    [raw.length, raw.length],
  ])('gives exactly the bytes %d to %d', async (from, to) => {
    const range = { from: START + BigInt(from), to: START + BigInt(to) };
    expect(await commandsOf(segment, range)).toEqual(raw.subarray(from, to));
    const frames = framesOfRange(
      await (await footerOf(segment.payload)).frames(),
      range.from,
      range.to,
    );
    if (frames.length === 0) return;
    const first = frames[0]!.position;
    const last = frames.at(-1)!;
    const ranged = segment.payload.subarray(first, last.position + last.length);
    expect(await collect(frameCommands(bytesOf(ranged), frames, range))).toEqual(
      raw.subarray(from, to),
    );
  });

  it('ends the source after the last frame it needs', async () => {
    let pulled = 0;
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for await (const chunk of chunked(segment.payload, 100)) {
          pulled++;
          yield chunk;
        }
      } finally {
        ended = true;
      }
    }
    await collect(segmentCommands(source(), segment.header, { to: START + 10n }));
    expect(ended).toBe(true);
    expect(pulled).toBeLessThan(segment.payload.length / 100 / 2);
  });

  it('refuses a range that is not within the segment', async () => {
    const { start, end } = segment.header;
    for (const range of [{ from: start - 1n }, { to: end + 1n }, { from: end, to: start }]) {
      await expect(commandsOf(segment, range)).rejects.toMatchObject({
        code: 'TM_OFFSET_NOT_RESTORABLE',
        context: { start, end },
      });
    }
  });

  it('finds a header that is not that of the frames', async () => {
    const { header } = segment;
    for (const other of [
      { ...header, frames: header.frames - 1 },
      { ...header, frames: header.frames + 1 },
      { ...header, end: header.end - 1n },
      { ...header, end: header.end + 1n },
    ]) {
      await expect(collect(segmentCommands(bytesOf(segment.payload), other))).rejects.toMatchObject(
        { code: 'TM_SEGMENT_FORMAT' },
      );
    }
  });

  it('finds every truncation', async () => {
    const framesEnd = (await (await footerOf(segment.payload)).frames()).reduce(
      (end, frame) => end + frame.length,
      0,
    );
    for (const length of [0, 1, 7, 8, 9, 500, framesEnd - 1]) {
      const cut = bytesOf(segment.payload.subarray(0, length));
      await expect(collect(segmentCommands(cut, segment.header))).rejects.toMatchObject({
        code: 'TM_SEGMENT_FORMAT',
        context: { offset: length },
      });
      const skipped = bytesOf(segment.payload.subarray(0, length));
      const range = { from: segment.header.end - 1n };
      await expect(collect(segmentCommands(skipped, segment.header, range))).rejects.toMatchObject({
        code: 'TM_SEGMENT_FORMAT',
      });
    }
  });

  it.each([
    ['a raw length over 1 MiB', 0, 1_048_577],
    ['a raw length of 512 MB', 0, 512 * 1024 * 1024],
    ['a raw length of 0', 0, 0],
    ['a packed length of 4 GB', 4, 0xffff_ffff],
    ['a packed length of 0', 4, 0],
    ['a raw length that is one too small', 0, 1023],
    ['a raw length that is one too large', 0, 1025],
  ])('refuses %s at its place', async (_, at, value) => {
    const damaged = Buffer.from(segment.payload);
    damaged.writeUInt32BE(value, at);
    await expect(collect(segmentCommands(bytesOf(damaged), segment.header))).rejects.toMatchObject({
      code: 'TM_SEGMENT_FORMAT',
      context: { offset: 0 },
    });
  });

  it('refuses a frame whose content is damaged', async () => {
    const damaged = Buffer.from(segment.payload);
    damaged.fill(0xff, 8, 20);
    await expect(collect(segmentCommands(bytesOf(damaged), segment.header))).rejects.toMatchObject({
      code: 'TM_SEGMENT_FORMAT',
      context: { offset: 0 },
    });
  });

  it('passes on what the source throws', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(segment.payload.subarray(0, 30));
      throw new Error('lost');
    }
    await expect(collect(segmentCommands(broken(), segment.header))).rejects.toThrow('lost');
  });
});
