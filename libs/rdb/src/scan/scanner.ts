import { Crc64, IntegrityError } from '@tidemark/core';
import { ChunkCursor, type Steps } from './cursor.ts';
import { type ElementReader, readElement } from './elements.ts';
import { scanEntriesWithin } from './entries-within.ts';
import { rdbFault } from './faults.ts';
import { type RdbHeader, readHeader } from './header.ts';
import { type Layout, layoutsOf } from './layout.ts';
import { OpenElement, type RdbBatch, RowBatch } from './rows.ts';
import { readBytes } from './steps.ts';
import { type RdbSummary, SummaryBuilder } from './summary.ts';

/** Versions from here on end with a checksum. */
const VERSION_CHECKSUM = 5;
const ZERO_CHECKSUM = Buffer.alloc(8);

/**
 * Finds the boundaries of all elements of an RDB without decoding values.
 *
 * Bytes come by `push` in chunks of any size; `end` says that no more come. Each call of `push`
 * delivers the elements that ended in its chunk through `onBatch`. Memory is bounded by the chunk and
 * by the longest key (512 MiB at most), whatever a value's size. A fault is thrown from `push` or
 * `end` and again from every later call. The checksum is checked when the last byte comes, so elements
 * of a damaged file may have been delivered before.
 *
 * @see docs/formats/rdb-reading.md; redis src/rdb.c
 */
export class RdbScanner {
  readonly #cursor = new ChunkCursor();
  readonly #rows = new RowBatch();
  readonly #open = new OpenElement();
  readonly #summary = new SummaryBuilder();
  readonly #onBatch: ((batch: RdbBatch) => void) | undefined;
  readonly #steps: Steps<void>;
  readonly #crc = new Crc64();
  /** Position in the chunk from which the checksum has not been fed; -1 when it is complete. */
  #crcAt = 0;
  #header: RdbHeader | null = null;
  #checksum: RdbSummary['checksum'] = 'absent';
  #whole = false;
  #fault: unknown = undefined;
  #delivering = false;

  /** @param onBatch - Gets elements in file order; see `RdbBatch` for how long it is valid. */
  constructor(onBatch?: (batch: RdbBatch) => void) {
    this.#onBatch = onBatch;
    this.#steps = this.#read();
  }

  /** Product and version, once the first nine bytes came. */
  get header(): RdbHeader | null {
    return this.#header;
  }

  /** The element that began but has not ended yet, or null at a boundary. */
  get open(): Readonly<OpenElement> | null {
    return this.#open.active ? this.#open : null;
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#cursor.offset;
  }

  /**
   * Takes the next bytes.
   * @throws FormatError with `context.offset`: `TM_RDB_MAGIC`, `TM_RDB_VERSION`, `TM_RDB_TYPE`,
   *   `TM_RDB_OPCODE`, `TM_RDB_LENGTH`, `TM_RDB_STRING`, `TM_RDB_LIMIT`, `TM_RDB_TRAILING`;
   *   IntegrityError `TM_RDB_CHECKSUM`.
   */
  push(chunk: Uint8Array): void {
    if (this.#fault !== undefined) throw this.#fault as Error;
    if (chunk.length === 0) return;
    this.#cursor.feed(chunk);
    this.#rows.data = chunk;
    this.#rows.base = this.#cursor.base;
    if (this.#crcAt > 0) this.#crcAt = 0;
    try {
      this.#steps.next();
      if (this.#whole && this.#cursor.at < this.#cursor.end) {
        throw rdbFault('TM_RDB_TRAILING', 'bytes follow the end of the RDB', this.#cursor.offset);
      }
      this.#flush();
      this.#feedChecksum();
    } catch (error) {
      this.#fault = error;
      // What ended before the fault is delivered, however the input was cut into chunks.
      if (!this.#delivering) this.#flush();
      throw error;
    }
  }

  /**
   * Says that no more bytes come.
   * @returns What the file holds.
   * @throws FormatError `TM_RDB_TRUNCATED` when the file is not whole.
   */
  end(): RdbSummary {
    if (this.#fault !== undefined) throw this.#fault as Error;
    const header = this.#header;
    if (!this.#whole || header === null) {
      const offset = this.#cursor.offset;
      this.#fault = rdbFault('TM_RDB_TRUNCATED', `the RDB ends at byte ${offset}`, offset, {
        context: this.#open.active ? { elementOffset: this.#open.start } : {},
      });
      throw this.#fault as Error;
    }
    return this.#summary.finish({
      product: header.product,
      version: header.version,
      bytes: this.#cursor.offset,
      checksum: this.#checksum,
    });
  }

  #flush(): void {
    const rows = this.#rows;
    if (rows.count > 0) {
      this.#delivering = true;
      this.#summary.addBatch(rows);
      this.#onBatch?.(rows);
      this.#delivering = false;
    }
    rows.clear();
  }

  #feedChecksum(): void {
    const { bytes, at } = this.#cursor;
    if (this.#crcAt < 0) return;
    this.#crc.update(
      this.#crcAt === 0 && at === bytes.length ? bytes : bytes.subarray(this.#crcAt, at),
    );
    this.#crcAt = at;
  }

  *#read(): Steps<void> {
    const cursor = this.#cursor;
    const rows = this.#rows;
    const header = yield* readHeader(cursor);
    this.#header = header;
    const layouts = layoutsOf(header.product);
    const reader: ElementReader = {
      cursor,
      open: this.#open,
      summary: this.#summary,
      product: header.product,
      layouts,
      db: 0,
    };
    for (;;) {
      if (this.#onBatch === undefined) this.#count(layouts, reader.db);
      else scanEntriesWithin(cursor, rows, layouts, reader.db);
      if (rows.full) this.#flush();
      else {
        if (!(yield* readElement(reader))) break;
        rows.add(this.#open, cursor.offset);
        this.#open.active = false;
      }
    }
    yield* this.#readChecksum(header);
    this.#open.active = false;
    this.#whole = true;
  }

  /** Nobody looks at single entries: no row is made of them. What came before is counted before. */
  #count(layouts: readonly (Layout | undefined)[], db: number): void {
    this.#flush();
    this.#summary.addWithin(this.#cursor, layouts, db);
  }

  *#readChecksum(header: RdbHeader): Steps<void> {
    this.#feedChecksum();
    this.#crcAt = -1;
    if (header.version < VERSION_CHECKSUM) return;
    const offset = this.#cursor.offset;
    const stored = yield* readBytes(this.#cursor, 8);
    if (ZERO_CHECKSUM.equals(stored)) return;
    if (!this.#crc.digestBytes().equals(stored)) {
      throw new IntegrityError('TM_RDB_CHECKSUM', 'the checksum of the RDB does not hold', {
        context: { offset },
        hint: 'the file was changed or damaged after it was written; take another copy',
      });
    }
    this.#checksum = 'verified';
  }
}
