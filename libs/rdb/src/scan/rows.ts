import { GrowingBytes } from '../format/growing-bytes.ts';
import { OPCODE_FIRST } from '../format/opcodes.ts';

/** Bits of `RdbBatch.flags`. */
export const ROW = {
  /** `expiryMs` and `expiryAt` hold. */
  hasExpiry: 1,
  /** `metaStart` and `metaEnd` hold. */
  hasKeyMeta: 2,
  /** The key stands apart from the chunk: it was packed, an integer, or spans chunks. */
  keyApart: 4,
  /** The expiry stands in seconds and not in milliseconds. */
  expiryInSeconds: 8,
} as const;

/** Rows of one batch. */
export const BATCH_ROWS = 4096;
/** A batch also ends when so many bytes of keys stand apart. */
const APART_BYTES = 256 * 1024;

/**
 * Elements of an RDB that ended in the chunk under work, in file order, as columns.
 *
 * Valid only during the call that delivers it: columns, chunk and keys are used again. Offsets count
 * from the first byte of the file, ends are exclusive.
 */
export interface RdbBatch {
  readonly count: number;
  /** The chunk. */
  readonly data: Uint8Array;
  /** Offset of `data[0]`; a row whose `start` is lower began in an earlier chunk. */
  readonly base: number;
  /** Value type; from 242 on an opcode (SELECTDB, AUX ...) and no entry. */
  readonly type: Uint8Array;
  readonly flags: Uint8Array;
  readonly db: Int32Array;
  /** Unix milliseconds, -1 for none. */
  readonly expiryMs: Float64Array;
  /** Where the expiry opcode stands; holds with `ROW.hasExpiry`. */
  readonly expiryAt: Float64Array;
  /** The KEY_META block; holds with `ROW.hasKeyMeta`. */
  readonly metaStart: Float64Array;
  readonly metaEnd: Float64Array;
  /** Where the type byte stands; holds for entries. */
  readonly typeAt: Float64Array;
  readonly start: Float64Array;
  readonly end: Float64Array;
  /** First byte of the value: after type and key. The value ends at `end`. */
  readonly valueStart: Float64Array;
  /** The decoded key (name, for AUX): a view that is valid only during the call. */
  keyOf(row: number): Buffer;
}

/** Whether a type column holds an entry and not an opcode. */
export const isEntry = (type: number): boolean => type < OPCODE_FIRST;

/** What is known of an element once its key is. */
export interface ElementFacts {
  readonly type: number;
  readonly flags: number;
  readonly db: number;
  readonly expiryMs: number;
  readonly expiryAt: number;
  readonly metaStart: number;
  readonly metaEnd: number;
  readonly typeAt: number;
  readonly start: number;
  readonly valueStart: number;
  keyView(): Buffer;
}

/** An element before it is whole. */
export class OpenElement implements ElementFacts {
  /** Whether a byte of it was read. */
  active = false;
  /** Whether type (or opcode) and key (or name) are known. */
  named = false;
  type = 0;
  flags = 0;
  db = 0;
  expiryMs = -1;
  expiryAt = 0;
  metaStart = 0;
  metaEnd = 0;
  typeAt = 0;
  start = 0;
  valueStart = 0;
  readonly key = new GrowingBytes();

  begin(start: number, db: number): void {
    this.active = true;
    this.named = false;
    this.type = 0;
    this.flags = 0;
    this.db = db;
    this.expiryMs = -1;
    this.start = start;
    this.valueStart = start;
    this.key.clear();
  }

  /** The decoded key so far, valid until more bytes come. */
  keyView(): Buffer {
    return this.key.view();
  }
}

/** The columns behind `RdbBatch`. */
export class RowBatch implements RdbBatch {
  count = 0;
  data: Uint8Array = new Uint8Array(0);
  base = 0;
  readonly type = new Uint8Array(BATCH_ROWS);
  readonly flags = new Uint8Array(BATCH_ROWS);
  readonly db = new Int32Array(BATCH_ROWS);
  readonly expiryMs = new Float64Array(BATCH_ROWS);
  readonly expiryAt = new Float64Array(BATCH_ROWS);
  readonly metaStart = new Float64Array(BATCH_ROWS);
  readonly metaEnd = new Float64Array(BATCH_ROWS);
  readonly typeAt = new Float64Array(BATCH_ROWS);
  readonly start = new Float64Array(BATCH_ROWS);
  readonly end = new Float64Array(BATCH_ROWS);
  readonly valueStart = new Float64Array(BATCH_ROWS);
  /** Range of the key in `data`, or in `apart` with `ROW.keyApart`. */
  readonly keyStart = new Int32Array(BATCH_ROWS);
  readonly keyEnd = new Int32Array(BATCH_ROWS);
  readonly apart = new GrowingBytes();

  get full(): boolean {
    return this.count >= BATCH_ROWS || this.apart.length >= APART_BYTES;
  }

  keyOf(row: number): Buffer {
    const start = this.keyStart[row] as number;
    const end = this.keyEnd[row] as number;
    if (((this.flags[row] as number) & ROW.keyApart) !== 0) return this.apart.view(start, end);
    return Buffer.from(this.data.buffer, this.data.byteOffset + start, end - start);
  }

  /** Adds an element that the step-by-step reader finished; there must be room. */
  add(open: OpenElement, end: number): void {
    const row = this.count;
    this.type[row] = open.type;
    this.flags[row] = open.flags | ROW.keyApart;
    this.db[row] = open.db;
    this.expiryMs[row] = open.expiryMs;
    this.expiryAt[row] = open.expiryAt;
    this.metaStart[row] = open.metaStart;
    this.metaEnd[row] = open.metaEnd;
    this.typeAt[row] = open.typeAt;
    this.start[row] = open.start;
    this.end[row] = end;
    this.valueStart[row] = open.valueStart;
    this.keyStart[row] = this.apart.length;
    this.apart.append(open.key.view(), 0, open.key.length);
    this.keyEnd[row] = this.apart.length;
    this.count = row + 1;
  }

  clear(): void {
    this.count = 0;
    this.apart.clear();
  }
}
