import {
  packSnapshot,
  readSnapshotFooter,
  unpackSnapshot,
  type PackSnapshotOptions,
} from '@tidemark/archive';
import { bytesOf, type ByteSource } from '@tidemark/core';
import { type RdbSummary } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { chunked, collect, rangesOf } from '../../support/segments.ts';

const summaryOf = (bytes: number): RdbSummary => ({
  product: 'redis',
  version: 11,
  bytes,
  keys: 3,
  expires: 1,
  maxDb: 0,
  databases: [{ db: 0, keys: 3, expires: 1 }],
  types: { '0': 3 },
  minVersion: 9,
  functions: 0,
  modules: [],
  aux: { 'redis-ver': '7.0.15', note: 'Grüße' },
  fieldTtl: false,
  keyMeta: 0,
  largestEntryBytes: 12,
  checksum: 'verified',
});

/** Bytes that pack a little and differ everywhere. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = 7; i < length; i++) {
    state = (state * 48_271) % 0x7fff_ffff;
    bytes[i] = i % 3 === 0 ? state & 0xff : i & 0x1f;
  }
  return bytes;
}

function pack(
  rdb: Buffer,
  chunk: number,
  options: Partial<PackSnapshotOptions> = {},
): Promise<Buffer> {
  return collect(
    packSnapshot(chunked(rdb, chunk), {
      timeline: 'tl-1',
      offset: 1_234_567_890_123n,
      summary: () => summaryOf(rdb.length),
      ...options,
    }),
  );
}

const unpack = (payload: Buffer, chunk = 1 << 18): Promise<Buffer> =>
  collect(unpackSnapshot(chunked(payload, chunk)));

const format = (context: object = {}): Error =>
  expect.objectContaining({
    code: 'TM_SNAPSHOT_FORMAT',
    context: expect.objectContaining(context) as object,
  }) as Error;

const rdb = pattern(10_000);
const payload = await pack(rdb, 999, { frameBytes: 1_000 });
const framesEnd = (await footer(payload)).framesEnd;

function footer(bytes: Buffer): ReturnType<typeof readSnapshotFooter> {
  return readSnapshotFooter(rangesOf(bytes), bytes.length);
}

describe('packSnapshot() and unpackSnapshot()', () => {
  it.each([0, 1, 999, 1_000, 1_001, 10_000])('give back %d bytes', async (length) => {
    const bytes = pattern(length);
    for (const chunk of [1, 1_000, 1 << 20]) {
      const packed = await pack(bytes, chunk, { frameBytes: 1_000 });
      expect((await unpack(packed)).equals(bytes)).toBe(true);
      expect((await unpack(packed, 1)).equals(bytes)).toBe(true);
    }
  });

  it('make the same object however the RDB came in chunks', async () => {
    for (const chunk of [1, 500, 1_000, 4_096, 10_000]) {
      expect((await pack(rdb, chunk, { frameBytes: 1_000 })).equals(payload)).toBe(true);
    }
  });

  it('give one chunk of at most 1 MiB for each frame', async () => {
    const large = pattern(2_500_000);
    const sizes: number[] = [];
    for await (const part of unpackSnapshot(chunked(await pack(large, 1 << 18), 1 << 18))) {
      sizes.push(part.length);
    }
    expect(sizes).toEqual([1_048_576, 1_048_576, 402_848]);
  });

  it('say at the end what the snapshot is', async () => {
    const stream = unpackSnapshot(bytesOf(payload));
    let step = await stream.next();
    while (step.done !== true) step = await stream.next();
    expect(step.value).toEqual({
      timeline: 'tl-1',
      offset: 1_234_567_890_123n,
      rdbBytes: 10_000,
      frames: 10,
    });
  });

  it('refuse a snapshot that is not the expected one', async () => {
    const read = (expect: { timeline: string; offset: bigint }): Promise<Buffer> =>
      collect(unpackSnapshot(bytesOf(payload), { expect }));
    expect(await read({ timeline: 'tl-1', offset: 1_234_567_890_123n })).toEqual(rdb);
    await expect(read({ timeline: 'tl-2', offset: 1_234_567_890_123n })).rejects.toThrow(format());
    await expect(read({ timeline: 'tl-1', offset: 0n })).rejects.toThrow(format());
  });

  it('ask for the summary after the last byte, and only then', async () => {
    let ended = false;
    async function* source(): ByteSource {
      yield* bytesOf(rdb);
      ended = true;
    }
    const summary = (): RdbSummary => {
      expect(ended).toBe(true);
      return summaryOf(rdb.length);
    };
    await collect(packSnapshot(source(), { timeline: 't', offset: 0n, summary }));
    const other = packSnapshot(bytesOf(rdb), {
      timeline: 't',
      offset: 0n,
      summary: () => summaryOf(5),
    });
    await expect(collect(other)).rejects.toMatchObject({ code: 'TM_INTERNAL' });
  });

  it('pass on what the source throws and refuse options out of range', async () => {
    async function* broken(): ByteSource {
      yield await Promise.resolve(Buffer.alloc(10));
      throw new Error('lost');
    }
    const options = { timeline: 't', offset: 0n, summary: () => summaryOf(10) };
    await expect(collect(packSnapshot(broken(), options))).rejects.toThrow('lost');
    await expect(collect(unpackSnapshot(broken()))).rejects.toThrow(/lost|raw length/);
    for (const bad of [{ frameBytes: 0 }, { frameBytes: 1_048_577 }, { level: 20 }]) {
      await expect(
        collect(packSnapshot(bytesOf(rdb), { ...options, ...bad })),
      ).rejects.toMatchObject({ code: 'TM_USAGE' });
    }
  });
});

describe('unpackSnapshot() on damage', () => {
  it('finds every truncation', async () => {
    for (let length = 0; length < payload.length; length += length < framesEnd - 20 ? 61 : 1) {
      await expect(unpack(payload.subarray(0, length))).rejects.toThrow(format());
    }
  });

  it('finds bytes after the end', async () => {
    await expect(unpack(Buffer.concat([payload, Buffer.of(0)]))).rejects.toThrow(format());
  });

  it('finds one changed byte anywhere behind the frames', async () => {
    for (let at = framesEnd; at < payload.length; at++) {
      const damaged = Buffer.from(payload);
      damaged[at] = (damaged[at] ?? 0) ^ 0x41;
      const outcome = await unpack(damaged).catch((error: unknown) => error);
      if (!Buffer.isBuffer(outcome)) {
        expect(outcome).toEqual(format());
        continue;
      }
      // Timeline, offset and the texts of the summary are repeated nowhere else in the payload; the
      // sealed container guards them. Then the change must at least be seen by the reader.
      const read = await footer(damaged);
      expect([read.head.timeline, read.head.offset, await read.summary()]).not.toEqual([
        'tl-1',
        1_234_567_890_123n,
        summaryOf(rdb.length),
      ]);
    }
  });

  it('finds frames that were left out, doubled or put in another order', async () => {
    const frames = await (await footer(payload)).frames();
    const slice = (i: number): Buffer =>
      payload.subarray(frames[i]!.position, frames[i]!.position + frames[i]!.length);
    const rest = payload.subarray(framesEnd);
    const parts = frames.map((_, i) => slice(i));
    for (const list of [
      parts.slice(1),
      parts.slice(0, -1),
      [parts[0]!, ...parts],
      [parts[9]!, ...parts.slice(1, 9), parts[0]!],
    ]) {
      await expect(unpack(Buffer.concat([...list, rest]))).rejects.toThrow(format());
    }
  });

  it.each([
    ['a raw length of 512 MB', 0, 512 * 1024 * 1024],
    ['a raw length over 1 MiB', 0, 1_048_577],
    ['a packed length of 4 GB', 4, 0xffff_ffff],
    ['a packed length of 0', 4, 0],
    ['a raw length that is one too small', 0, 999],
    ['a raw length that is one too large', 0, 1_001],
  ])('refuses %s at its place', async (_, at, value) => {
    const damaged = Buffer.from(payload);
    damaged.writeUInt32BE(value, at);
    await expect(unpack(damaged)).rejects.toThrow(format({ offset: 0 }));
  });

  it('stops reading a footer that never ends', async () => {
    async function* endless(): ByteSource {
      yield Buffer.alloc(8);
      const block = Buffer.alloc(1_048_576, 1);
      for (;;) yield await Promise.resolve(block);
    }
    await expect(collect(unpackSnapshot(endless()))).rejects.toThrow(/footer of over/);
  });

  it('refuses a summary that is none, and one of another RDB', async () => {
    const odd = [null, [], 'x', { product: 'redis' }, { ...summaryOf(10_000), product: 'other' }];
    for (const summary of odd) {
      const packed = await pack(rdb, 1_000, {
        summary: () => ({ ...summaryOf(rdb.length), toJSON: () => summary }) as RdbSummary,
      });
      await expect(unpack(packed)).rejects.toThrow(format());
    }
    const other = await pack(rdb, 1_000, {
      summary: () => ({ ...summaryOf(rdb.length), toJSON: () => summaryOf(9_999) }) as RdbSummary,
    });
    await expect(unpack(other)).rejects.toThrow(format());
  });
});

describe('readSnapshotFooter()', () => {
  it('gives head, frames and summary by ranged reads', async () => {
    const ranges: [number, number][] = [];
    const read = await readSnapshotFooter(rangesOf(payload, ranges), payload.length);
    expect(read.head).toMatchObject({ timeline: 'tl-1', rdbBytes: 10_000, frames: 10 });
    expect(await read.summary()).toEqual(summaryOf(10_000));
    const frames = await read.frames();
    expect(frames.map((frame) => frame.start)).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => i * 1_000),
    );
    expect(ranges).toHaveLength(1);
  });
});
