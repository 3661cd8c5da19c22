import { GrowingBytes } from '../format/growing-bytes.ts';
import type { ListpackReader } from './listpack.ts';

/** Total bytes (4), place of the last entry (4), number of entries (2; 65535: more than that). */
const HEAD_BYTES = 10;
const END = 0xff;
/** Longest ziplist: its length has 32 bits. */
export const ZIPLIST_BYTES_MAX = 0xffff_ffff;

function stringHead(length: number): Buffer {
  if (length < 0x40) return Buffer.of(length);
  if (length < 0x4000) return Buffer.of(0x40 | (length >> 8), length & 0xff);
  const head = Buffer.alloc(5, 0x80);
  head.writeUInt32BE(length, 1);
  return head;
}

function integerBytes(value: number | bigint): Buffer {
  if (typeof value === 'bigint') {
    const wide = Buffer.alloc(9, 0xe0);
    wide.writeBigInt64LE(value, 1);
    return wide;
  }
  if (value >= -128 && value < 128) return Buffer.of(0xfe, value & 0xff);
  if (value >= -32_768 && value < 32_768) return Buffer.of(0xc0, value & 0xff, (value >> 8) & 0xff);
  const bytes = Buffer.alloc(5, 0xd0);
  bytes.writeInt32LE(value, 1);
  return bytes;
}

/**
 * A ziplist of the entries that are left in a listpack.
 * @see redis src/ziplist.c (6.2)
 */
export function ziplistOf(listpack: ListpackReader): Buffer {
  const out = new GrowingBytes();
  out.append(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES);
  let [last, before, count] = [HEAD_BYTES, 0, 0];
  while (listpack.next()) {
    last = out.length;
    if (before < 0xfe) out.append(Buffer.of(before), 0, 1);
    else {
      const wide = Buffer.alloc(5, 0xfe);
      wide.writeUInt32LE(before, 1);
      out.append(wide, 0, 5);
    }
    const text = listpack.textStart >= 0;
    const head = text
      ? stringHead(listpack.textEnd - listpack.textStart)
      : integerBytes(listpack.integer);
    out.append(head, 0, head.length);
    if (text) out.append(listpack.bytes, listpack.textStart, listpack.textEnd);
    before = out.length - last;
    count += 1;
  }
  out.append(Buffer.of(END), 0, 1);
  const bytes = out.view();
  putHead(bytes, { length: bytes.length, last, count });
  return bytes;
}

function putHead(
  bytes: Buffer,
  head: { readonly length: number; readonly last: number; readonly count: number },
): void {
  bytes.writeUInt32LE(head.length, 0);
  bytes.writeUInt32LE(head.last, 4);
  bytes.writeUInt16LE(Math.min(head.count, 65_535), 8);
}

/** What stands before and after the bytes of a single string in a ziplist of its own. */
export function ziplistAround(length: number): { readonly head: Buffer; readonly end: Buffer } {
  const entry = Buffer.concat([Buffer.of(0), stringHead(length)]);
  const head = Buffer.concat([Buffer.alloc(HEAD_BYTES), entry]);
  putHead(head, { length: head.length + length + 1, last: HEAD_BYTES, count: 1 });
  return { head, end: Buffer.of(END) };
}
