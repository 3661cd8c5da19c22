import { GrowingBytes } from '../format/growing-bytes.ts';
import { VALUE_PART_BYTES_MAX } from '../format/limits.ts';
import type { Steps } from '../scan/cursor.ts';
import { readString } from '../scan/steps.ts';
import { lengthValue, stringEnd } from '../scan/within.ts';
import { ListpackReader } from './listpack.ts';
import type { ValueCursor } from './value-cursor.ts';

/**
 * A string of a value, decoded and whole: a view on the chunk where it lies plain in it, else bytes
 * of its own. It stays as it is while the chunk does.
 * @throws FormatError `TM_RDB_LIMIT` above `VALUE_PART_BYTES_MAX`.
 */
export function* readWhole(cursor: ValueCursor): Steps<Buffer> {
  const { bytes, at, end } = cursor;
  if (at < end && (bytes[at] as number) < 0xc0) {
    const stop = stringEnd(bytes, at, end);
    if (stop >= 0) {
      const start = stop - lengthValue(bytes, at);
      cursor.at = stop;
      return Buffer.from(bytes.buffer, bytes.byteOffset + start, stop - start);
    }
  }
  const out = new GrowingBytes();
  yield* readString(cursor, VALUE_PART_BYTES_MAX, out);
  return out.view();
}

/** A string that holds a listpack. */
export function* readListpack(cursor: ValueCursor): Steps<ListpackReader> {
  const { offset } = cursor;
  return new ListpackReader(yield* readWhole(cursor), offset);
}
