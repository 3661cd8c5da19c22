import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../libs/archive/src/frames/byte-reader.ts';
import { ByteWriter } from '../../../libs/archive/src/frames/byte-writer.ts';
import { SourceCursor } from '../../../libs/archive/src/frames/source-cursor.ts';
import {
  FramePacker,
  FrameUnpacker,
  packedBytesMax,
} from '../../../libs/archive/src/frames/zstd.ts';
import { patternBytes } from '../../support/pattern.ts';
import { chunked } from '../../support/segments.ts';

const reader = (bytes: Buffer): ByteReader => new ByteReader(bytes, 'segment', 'test');
const format = expect.objectContaining({ code: 'TM_SEGMENT_FORMAT' }) as Error;

describe('ByteWriter and ByteReader', () => {
  it('keep numbers up to their limits', () => {
    const whole = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1];
    const signed = [0, -1, 1, -64, 64, -(2 ** 31), 2 ** 40, -(2 ** 52), 2 ** 52 - 1];
    const writer = new ByteWriter(4_096, 1);
    for (const value of whole) writer.varint(value);
    for (const value of signed) writer.signed(value);
    writer.u8(255);
    writer.u16(65_535);
    writer.u32(4_294_967_295);
    writer.u64(2n ** 64n - 1n);
    writer.text('Grüße');
    writer.bytes(Buffer.alloc(100, 7), 10, 90);
    const read = reader(writer.take());
    expect(whole.map(() => read.varint())).toEqual(whole);
    expect(signed.map(() => read.signed())).toEqual(signed);
    expect([read.u8(), read.u16(), read.u32(), read.u64()]).toEqual([
      255,
      65_535,
      4_294_967_295,
      2n ** 64n - 1n,
    ]);
    expect(read.text(20)).toBe('Grüße');
    expect(read.bytes(80)).toEqual(Buffer.alloc(80, 7));
    read.end();
  });

  it('refuse numbers over 2^53, endless numbers and reads past the end', () => {
    const over = Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10);
    expect(() => reader(over).varint()).toThrow(format);
    expect(() => reader(Buffer.alloc(20, 0x80)).varint()).toThrow(/longer than 8 bytes/);
    expect(() => reader(Buffer.of(0x80)).varint()).toThrow(format);
    expect(() => reader(Buffer.alloc(3)).u32()).toThrow(format);
    expect(() => reader(Buffer.of(5, 1)).text(10)).toThrow(format);
    expect(() => reader(Buffer.of(5, 1)).text(4)).toThrow(/exceeds 4/);
    expect(() => {
      reader(Buffer.of(1)).end();
    }).toThrow(format);
  });

  it('stop growing at their maximum, and say so', () => {
    const writer = new ByteWriter(1_000);
    for (let i = 0; i < 1_000; i++) writer.u8(1);
    expect(writer.overflowed).toBe(false);
    writer.u8(1);
    expect(writer.overflowed).toBe(true);
    for (let i = 0; i < 100_000; i++) writer.bytes(Buffer.alloc(100));
    expect(writer.length).toBeLessThan(1_100);
  });
});

describe('SourceCursor', () => {
  const bytes = Buffer.from(Array.from({ length: 100 }, (_, i) => i));

  it('takes and skips exact numbers of bytes from chunks of any size', async () => {
    for (const size of [1, 3, 7, 100, 1_000]) {
      await using cursor = new SourceCursor(chunked(bytes, size));
      expect(await cursor.take(0)).toHaveLength(0);
      expect(await cursor.take(10)).toEqual(bytes.subarray(0, 10));
      expect(await cursor.skip(25)).toBe(25);
      expect(cursor.position).toBe(35);
      expect(await cursor.take(40)).toEqual(bytes.subarray(35, 75));
      expect(await cursor.take(40)).toEqual(bytes.subarray(75));
      expect(await cursor.take(1)).toHaveLength(0);
      expect(await cursor.skip(1)).toBe(0);
      expect(cursor.position).toBe(100);
    }
  });

  it('copies nothing that lies in one chunk, and pulls no more than it needs', async () => {
    let pulled = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < 100; at += 10) {
        pulled++;
        yield await Promise.resolve(bytes.subarray(at, at + 10));
        yield Buffer.alloc(0);
      }
    }
    await using cursor = new SourceCursor(source());
    const first = await cursor.take(10);
    expect(first.buffer).toBe(bytes.buffer);
    expect(pulled).toBe(1);
    await cursor.take(11);
    expect(pulled).toBe(3);
  });
});

describe('frame packing', () => {
  it('unpacks to the exact length or not at all', () => {
    const raw = Buffer.alloc(1_048_576, 'abc');
    const frame = new FramePacker(1).pack(raw);
    const packed = frame.subarray(8);
    expect([frame.readUInt32BE(0), frame.readUInt32BE(4)]).toEqual([raw.length, packed.length]);
    const unpacker = new FrameUnpacker();
    const target = Buffer.alloc(raw.length);
    expect(unpacker.unpack(packed, target)).toBe(true);
    expect(target.equals(raw)).toBe(true);
    for (const length of [0, 1, raw.length - 1, raw.length + 1]) {
      expect(unpacker.unpack(packed, Buffer.alloc(length))).toBe(false);
    }
    expect(unpacker.unpack(packed.subarray(0, -1), target)).toBe(false);
    expect(unpacker.unpack(Buffer.alloc(0), target)).toBe(false);
    expect(unpacker.unpack(Buffer.from('no zstd here'), target)).toBe(false);
  });

  it('packs into a buffer of the caller what it packs into its own', () => {
    const packer = new FramePacker(1);
    const target = Buffer.alloc(packedBytesMax(100_000), 0xee);
    for (const raw of [patternBytes(100_000), Buffer.alloc(70_000, 'abc'), Buffer.from('x')]) {
      const frame = packer.packInto(raw, target);
      expect(frame.equals(packer.pack(raw))).toBe(true);
      expect(frame.buffer).toBe(target.buffer);
    }
    expect(() => packer.packInto(patternBytes(100_000), Buffer.alloc(50_000))).toThrow(/dst|Dest/i);
  });

  it('does not unpack a bomb of 64 MiB in few bytes', () => {
    const bomb = new FramePacker(19).pack(Buffer.alloc(64 * 1_048_576)).subarray(8);
    expect(bomb.length).toBeLessThan(10_000);
    const before = process.memoryUsage().rss;
    expect(new FrameUnpacker().unpack(bomb, Buffer.alloc(1_048_576))).toBe(false);
    expect(process.memoryUsage().rss - before).toBeLessThan(16 * 1_048_576);
  });
});
