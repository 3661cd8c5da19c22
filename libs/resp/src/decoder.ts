import { FormatError } from '@tidemark/core';

/** A decoded value. A bulk string is a `Buffer` of its own; null bulk and null array are `null`. */
export type RespValue =
  | { readonly kind: 'simple'; readonly text: string }
  | { readonly kind: 'error'; readonly text: string }
  | { readonly kind: 'integer'; readonly value: bigint }
  | Buffer
  | null
  | readonly RespValue[];

/** Upper bounds, all inclusive. */
export interface RespLimits {
  /** One bulk string, in bytes. Default 512 MiB (redis `proto-max-bulk-len`). */
  readonly bulkBytesMax?: number;
  /** Elements of one array. Default 1,048,576 (redis before 7.0). */
  readonly elementsMax?: number;
  /** A line: type byte, text or length, without CR LF. Default 64 KiB. */
  readonly lineBytesMax?: number;
  /** Arrays within arrays; 1 allows arrays of plain values only. Default 8. */
  readonly depthMax?: number;
  /** All bytes of one top-level value, framing included. Default 1 GiB. */
  readonly valueBytesMax?: number;
}

const LF = 0x0a;
const CR = 0x0d;
/** Sign and 19 digits hold every 64-bit integer. */
const NUMBER = /^-?[0-9]{1,19}$/;
const INT64_MAX = 2n ** 63n - 1n;
const FIRST_ALLOCATION = 64 * 1024;

interface OpenArray {
  readonly items: RespValue[];
  readonly length: number;
}

/** What was decoded: `undefined` means that more bytes are needed. */
type Decoded = { readonly value: RespValue } | undefined;

/**
 * Decodes RESP2 from chunks of any size, without a socket.
 *
 * Memory follows the bytes that came, never a claimed length. Newlines between top-level values are
 * skipped: both ends of a replication link send them to say that they live. Requests in the inline
 * form are refused. After an error the decoder must not be used again.
 *
 * Errors, all {@link FormatError} with `context.offset`, the position of the wrong byte or line
 * since the first push: `TM_RESP_PROTOCOL`, `TM_RESP_LIMIT`, `TM_RESP_TRUNCATED`.
 * @see redis.io "Redis serialization protocol specification", RESP2
 */
export class RespDecoder {
  readonly #limits: Required<RespLimits>;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Bytes of the chunks before the current one. */
  #base = 0;
  readonly #arrays: OpenArray[] = [];
  /** Start of a line that goes on in the next chunk. */
  #line: Buffer = Buffer.alloc(0);
  /** The bulk string under way: its bytes so far, how many, and the claimed length. */
  #bulk: Buffer | null = null;
  #bulkSize = 0;
  #bulkLength = -1;
  #valueStart = -1;

  constructor(limits: RespLimits = {}) {
    this.#limits = {
      bulkBytesMax: limits.bulkBytesMax ?? 512 * 1024 * 1024,
      elementsMax: limits.elementsMax ?? 1_048_576,
      lineBytesMax: limits.lineBytesMax ?? 64 * 1024,
      depthMax: limits.depthMax ?? 8,
      valueBytesMax: limits.valueBytesMax ?? 1024 * 1024 * 1024,
    };
  }

  /** Bytes taken so far: all pushed bytes less the ones that `rest` would return. */
  get offset(): number {
    return this.#base + this.#at;
  }

  /**
   * Hands over the next chunk. `read` until `undefined` before the next push.
   * @param chunk - Is not kept beyond the reads that follow.
   */
  push(chunk: Uint8Array): void {
    const left = this.#chunk.length - this.#at;
    if (left > 0) {
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#at), chunk]);
      this.#base += this.#at;
    } else {
      this.#base += this.#chunk.length;
      this.#chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    }
    this.#at = 0;
  }

  /**
   * Takes the next top-level value.
   * @returns The value, or `undefined` when more bytes are needed (`null` is a value).
   * @throws {@link FormatError} `TM_RESP_PROTOCOL`, `TM_RESP_LIMIT`.
   */
  read(): RespValue | undefined {
    while (this.#at < this.#chunk.length) {
      if (this.#valueStart < 0) {
        if (this.#chunk[this.#at] === LF) {
          this.#at++;
          continue;
        }
        this.#valueStart = this.offset;
      }
      const decoded = this.#bulkLength >= 0 ? this.#readBulk() : this.#readLine();
      if (this.offset - this.#valueStart > this.#limits.valueBytesMax) {
        throw this.#over('value', this.offset - this.#valueStart, this.#limits.valueBytesMax);
      }
      const whole = decoded === undefined ? undefined : this.#close(decoded.value);
      if (whole !== undefined) {
        this.#valueStart = -1;
        return whole.value;
      }
    }
    return undefined;
  }

  /** Takes the bytes after the last value, for a link that goes on in another form. */
  rest(): Buffer {
    const rest = this.#chunk.subarray(this.#at);
    this.#at = this.#chunk.length;
    return rest;
  }

  /** @throws {@link FormatError} `TM_RESP_TRUNCATED` when a value is unfinished. */
  end(): void {
    if (this.#valueStart < 0) return;
    throw new FormatError('TM_RESP_TRUNCATED', 'the stream ends within a value', {
      context: { offset: this.offset, valueOffset: this.#valueStart },
    });
  }

  #readLine(): Decoded {
    const end = this.#chunk.indexOf(LF, this.#at);
    const stop = end < 0 ? this.#chunk.length : end + 1;
    const size = this.#line.length + (stop - this.#at);
    if (size > this.#limits.lineBytesMax + 2) {
      throw this.#over('line', size, this.#limits.lineBytesMax);
    }
    const part = this.#chunk.subarray(this.#at, stop);
    const line = this.#line.length === 0 ? part : Buffer.concat([this.#line, part]);
    if (!isType(line[0])) throw this.#wrong('not a RESP type', this.offset - this.#line.length);
    if (end < 0) {
      this.#line = Buffer.from(line);
      this.#at = stop;
      return undefined;
    }
    const start = this.offset - this.#line.length;
    this.#line = Buffer.alloc(0);
    this.#at = stop;
    if (line[line.length - 2] !== CR) throw this.#wrong('a line that does not end in CR LF', start);
    return this.#value(line[0] ?? 0, line.toString('utf8', 1, line.length - 2), start);
  }

  #value(type: number, text: string, start: number): Decoded {
    if (text.includes('\r')) throw this.#wrong('a CR within a line', start);
    switch (type) {
      case 0x2b:
        return { value: { kind: 'simple', text } };
      case 0x2d:
        return { value: { kind: 'error', text } };
      case 0x3a:
        return { value: { kind: 'integer', value: this.#integer(text, start) } };
      case 0x24:
        return this.#openBulk(this.#length(text, start));
      default:
        return this.#openArray(this.#length(text, start));
    }
  }

  #openBulk(length: number): Decoded {
    if (length < 0) return { value: null };
    if (length > this.#limits.bulkBytesMax) {
      throw this.#over('bulk string', length, this.#limits.bulkBytesMax);
    }
    this.#bulkLength = length;
    this.#bulkSize = 0;
    this.#bulk = null;
    return undefined;
  }

  #openArray(length: number): Decoded {
    if (length < 0) return { value: null };
    if (length > this.#limits.elementsMax) {
      throw this.#over('array', length, this.#limits.elementsMax);
    }
    if (this.#arrays.length >= this.#limits.depthMax) {
      throw this.#over('depth', this.#arrays.length + 1, this.#limits.depthMax);
    }
    if (length === 0) return { value: [] };
    this.#arrays.push({ items: [], length });
    return undefined;
  }

  /** Takes bytes of a bulk string and, at its end, CR LF. */
  #readBulk(): Decoded {
    const length = this.#bulkLength;
    const missing = length - this.#bulkSize;
    if (missing > 0) {
      const part = this.#chunk.subarray(this.#at, this.#at + missing);
      this.#append(part);
      this.#at += part.length;
    }
    while (this.#bulkSize >= length && this.#at < this.#chunk.length) {
      const expected = this.#bulkSize === length ? CR : LF;
      if (this.#chunk[this.#at] !== expected) {
        throw this.#wrong('a bulk string that does not end in CR LF', this.offset);
      }
      this.#at++;
      this.#bulkSize++;
      if (expected === LF) {
        const value = (this.#bulk ?? Buffer.alloc(0)).subarray(0, length);
        this.#bulk = null;
        this.#bulkLength = -1;
        return { value };
      }
    }
    return undefined;
  }

  /** Copies: a slice would keep the whole chunk. The copy doubles as bytes come. */
  #append(part: Buffer): void {
    const size = this.#bulkSize + part.length;
    if (this.#bulk === null || this.#bulk.length < size) {
      const room = Math.min(this.#bulkLength, Math.max(size, this.#bulkSize * 2, FIRST_ALLOCATION));
      const grown = Buffer.allocUnsafe(room);
      this.#bulk?.copy(grown, 0, 0, this.#bulkSize);
      this.#bulk = grown;
    }
    part.copy(this.#bulk, this.#bulkSize);
    this.#bulkSize = size;
  }

  /** Puts a finished value into the array it belongs to; a full array is a finished value. */
  #close(value: RespValue): Decoded {
    let done = value;
    for (;;) {
      const array = this.#arrays.at(-1);
      if (array === undefined) return { value: done };
      array.items.push(done);
      if (array.items.length < array.length) return undefined;
      this.#arrays.pop();
      done = array.items;
    }
  }

  #integer(text: string, start: number): bigint {
    if (!NUMBER.test(text)) throw this.#wrong('not an integer', start);
    const value = BigInt(text);
    if (value > INT64_MAX || value < -INT64_MAX - 1n) {
      throw this.#wrong('an integer over 64 bits', start);
    }
    return value;
  }

  #length(text: string, start: number): number {
    const value = this.#integer(text, start);
    if (value < -1n) throw this.#wrong('a negative length', start);
    return Number(value);
  }

  #wrong(message: string, offset: number): FormatError {
    return new FormatError('TM_RESP_PROTOCOL', message, { context: { offset } });
  }

  #over(what: string, actual: number, limit: number): FormatError {
    return new FormatError(
      'TM_RESP_LIMIT',
      `${what} of ${String(actual)} exceeds limit ${String(limit)}`,
      { context: { offset: this.offset, what, actual, limit } },
    );
  }
}

const isType = (byte: number | undefined): boolean =>
  byte === 0x2a || byte === 0x24 || byte === 0x2b || byte === 0x2d || byte === 0x3a;
