import { encodeInt64, encodeLength } from '../format/encode.ts';
import { GrowingBytes } from '../format/growing-bytes.ts';
import { FIELD_EXPIRY_MAX, VALUE_PART_BYTES_MAX } from '../format/limits.ts';
import type { Steps } from '../scan/cursor.ts';
import { rdbFault } from '../scan/faults.ts';
import { passBytes, passString, readBytes, readLength } from '../scan/steps.ts';
import { int64Le, lengthEnd, lengthValue, stringEnd } from '../scan/within.ts';
import { type NewFieldExpiry, redisExpiry, ruledExpiry } from './field-expiry.ts';
import type { ConvertValue } from './value-converter.ts';
import type { ByteSink, ValueCursor } from './value-cursor.ts';

/** From here on a buffer that was handed on may be kept as a view. */
const VIEW_BYTES = 8192;
/**
 * The base of relative times that is written: with it a time stands as it is, and fields can be
 * written before the earliest is known. Redis takes any base up to the earliest.
 */
const MIN_EXPIRY = 1;
const NO_EXPIRY = -1;

/** Which form of a hash with expiries of fields is written. */
export type FieldForm = 'redis' | 'valkey';

/** An expiry as it stands before (Redis) or after (Valkey) a field and its value. */
function encodeFieldExpiry(form: FieldForm, expiryMs: number | null, offset: number): Buffer {
  return form === 'redis'
    ? encodeLength(redisExpiry(expiryMs, offset))
    : encodeInt64(expiryMs ?? NO_EXPIRY);
}

function writeHead(cursor: ValueCursor, form: FieldForm, fields: number): void {
  if (form === 'redis') cursor.write(encodeInt64(MIN_EXPIRY));
  cursor.write(encodeLength(fields));
}

function absoluteExpiry(relative: number, minExpiry: number, offset: number): number | null {
  if (relative === 0) return null;
  const expiryMs = minExpiry + relative - 1;
  if (expiryMs >= 0 && expiryMs <= FIELD_EXPIRY_MAX) return expiryMs;
  throw rdbFault('TM_RDB_LIMIT', `a field expires at ${expiryMs} ms`, offset, {
    context: { limit: FIELD_EXPIRY_MAX },
  });
}

/** From HASH_METADATA of Redis (24). Nothing is held: a value of any size passes. */
export const fromMetadata = (form: FieldForm, rule: NewFieldExpiry): ConvertValue =>
  function* convert(cursor): Steps<void> {
    const minExpiry = int64Le(yield* readBytes(cursor, 8), 0);
    const fields = yield* readLength(cursor);
    writeHead(cursor, form, fields);
    for (let left = fields; left > 0; left -= 1) {
      const { offset, bytes, end } = cursor;
      const start = lengthEnd(bytes, cursor.at, end);
      const stop = start < 0 ? -1 : pairEnd(bytes, start, end);
      const relative = stop < 0 ? yield* readLength(cursor) : lengthValue(bytes, cursor.at);
      const known = absoluteExpiry(relative, minExpiry, offset);
      const expiry = encodeFieldExpiry(form, ruledExpiry(rule, known, offset), offset);
      if (form === 'redis') cursor.write(expiry);
      if (stop < 0) {
        cursor.copy();
        yield* passString(cursor);
        yield* passString(cursor);
        cursor.stop();
      } else {
        cursor.at = stop;
        cursor.write(bytes, start, stop);
      }
      if (form === 'valkey') cursor.write(expiry);
    }
  };

/** Position after two strings that lie wholly before `end`, or -1. */
function pairEnd(bytes: Uint8Array, at: number, end: number): number {
  const second = stringEnd(bytes, at, end);
  return second < 0 ? -1 : stringEnd(bytes, second, end);
}

const expiryOf = (bytes: Uint8Array, at: number): number | null => {
  const expiryMs = int64Le(bytes, at);
  return expiryMs === NO_EXPIRY ? null : expiryMs;
};

/** From HASH_2 of Valkey (22) to the same with other expiries. Nothing is held. */
export const fromHash2 = (rule: NewFieldExpiry): ConvertValue =>
  function* convert(cursor): Steps<void> {
    const fields = yield* readLength(cursor);
    writeHead(cursor, 'valkey', fields);
    for (let left = fields; left > 0; left -= 1) {
      cursor.copy();
      yield* passString(cursor);
      yield* passString(cursor);
      cursor.stop();
      const { offset } = cursor;
      const bytes = yield* readBytes(cursor, 8);
      const known = expiryOf(bytes, 0);
      const ruled = ruledExpiry(rule, known, offset);
      // Times beyond 2^53 have no exact number here: they stay byte for byte.
      cursor.write(ruled === known ? bytes : encodeInt64(ruled ?? NO_EXPIRY));
    }
  };

/** A field and its value as they stand, until the expiry behind them is known. */
class HeldPair implements ByteSink {
  #bytes = new GrowingBytes();
  readonly #offset: number;

  /** @param offset - Stream offset of the value, for the fault. */
  constructor(offset: number) {
    this.#offset = offset;
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const length = this.#bytes.length + end - start;
    if (length > VALUE_PART_BYTES_MAX) {
      const message = `a field and its value exceed limit ${VALUE_PART_BYTES_MAX}`;
      throw rdbFault('TM_RDB_LIMIT', message, this.#offset, {
        context: { length, limit: VALUE_PART_BYTES_MAX },
      });
    }
    this.#bytes.append(bytes, start, end);
  }

  moveTo(cursor: ValueCursor): void {
    cursor.write(this.#bytes.view());
    if (this.#bytes.length >= VIEW_BYTES) this.#bytes = new GrowingBytes();
    else this.#bytes.clear();
  }
}

/** Passes a string that will be held: one that is too long is refused at its length. */
function* passHeld(cursor: ValueCursor): Steps<void> {
  while (cursor.at >= cursor.end) yield;
  const first = cursor.bytes[cursor.at] as number;
  if (first >= 0xc0) return yield* passString(cursor);
  yield* passBytes(cursor, yield* readLength(cursor, VALUE_PART_BYTES_MAX));
}

/**
 * From HASH_2 of Valkey (22) to HASH_METADATA of Redis (24): the expiry moves before the field, so
 * a field and its value that do not lie in one chunk are held until it comes.
 */
export const hash2ToMetadata = (rule: NewFieldExpiry): ConvertValue =>
  function* convert(cursor): Steps<void> {
    const held = new HeldPair(cursor.offset);
    const fields = yield* readLength(cursor);
    writeHead(cursor, 'redis', fields);
    for (let left = fields; left > 0; left -= 1) {
      const { bytes, at, end } = cursor;
      const stop = pairEnd(bytes, at, end);
      const whole = stop >= 0 && stop + 8 <= end;
      if (whole) cursor.at = stop;
      else {
        cursor.copy(held);
        yield* passHeld(cursor);
        yield* passHeld(cursor);
        cursor.stop();
      }
      const { offset } = cursor;
      const known = whole ? expiryOf(bytes, stop) : expiryOf(yield* readBytes(cursor, 8), 0);
      cursor.write(encodeFieldExpiry('redis', ruledExpiry(rule, known, offset), offset));
      if (whole) {
        cursor.write(bytes, at, stop);
        cursor.at = stop + 8;
      } else held.moveTo(cursor);
    }
  };
