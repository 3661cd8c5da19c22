import { FormatError, TidemarkError } from '@tidemark/core';
import { OPCODE } from '../format/opcodes.ts';
import { ChunkCursor, type Steps } from '../scan/cursor.ts';
import { type Layout, layoutsOf } from '../scan/layout.ts';
import { isEntry, type RdbBatch } from '../scan/rows.ts';
import { RdbScanner } from '../scan/scanner.ts';
import type { RdbSummary } from '../scan/summary.ts';
import { ValueTools } from './value-tools.ts';
import { checkOutside, checkValue } from './value-check.ts';

/** How a file is checked. */
export interface RdbCheckerOptions {
  /** Whether values are looked into; else only structure and checksum. Default true. */
  readonly values?: boolean;
  /** Gets all elements before their content is checked; see `RdbBatch` for how long it is valid. */
  readonly onBatch?: (batch: RdbBatch) => void;
}

/** What a check found besides that nothing is wrong. */
export interface RdbCheck extends RdbSummary {
  /** Values that were looked into. */
  readonly valuesChecked: number;
  /** Packed values of more than 32 MiB: whole, but not looked into. */
  readonly valuesPassed: number;
  /** Collections of more than a million members, of which some may stand twice unseen. */
  readonly collectionsNotCompared: number;
}

/** Bytes of a key that are told after a fault. */
const KEY_BYTES_NAMED = 64;

const LZF = 0xc3;

/**
 * Checks a whole RDB: structure and checksum as `RdbScanner`, and the content of every value as a
 * server does that loads with `sanitize-dump-payload yes`.
 *
 * Bytes come by `push` in chunks of any size. Memory is bounded: a value is followed as it comes;
 * only packed values (up to 32 MiB) and hashes of members (up to a million of one collection) are
 * held. Which fault is found does not depend on how the input is cut. A fault is final.
 */
export class RdbChecker {
  readonly #scanner: RdbScanner;
  readonly #values: boolean;
  readonly #onBatch: ((batch: RdbBatch) => void) | undefined;
  readonly #cursor = new ChunkCursor();
  #tools: ValueTools | null = null;
  #layouts: readonly (Layout | undefined)[] = [];
  /** The check of a value that began in an earlier chunk. */
  #steps: Steps<void> | null = null;
  #valuesChecked = 0;
  #fault: unknown = undefined;
  #faultKey: Buffer | null = null;

  constructor(options: RdbCheckerOptions = {}) {
    this.#values = options.values ?? true;
    this.#onBatch = options.onBatch;
    this.#scanner = new RdbScanner((batch) => {
      this.#onBatch?.(batch);
      if (this.#values) this.#checkBatch(batch);
    });
  }

  /** After a fault in a value: its key, or the first 64 bytes of it. */
  get faultKey(): Buffer | null {
    return this.#faultKey;
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#scanner.offset;
  }

  /**
   * Takes the next bytes.
   * @throws What `RdbScanner.push` does; FormatError `TM_RDB_VALUE` or `TM_RDB_STRING` for the content
   *   of a value, with `offset`, `db`, `type` and, inside a packed value, `within`.
   */
  push(chunk: Uint8Array): void {
    if (this.#fault !== undefined) throw this.#fault as Error;
    const base = this.#scanner.offset;
    try {
      this.#pushToScanner(chunk, base);
      this.#followOpen(chunk, base);
    } catch (error) {
      this.#fault = error;
      throw error;
    }
  }

  /**
   * Says that no more bytes come.
   * @throws FormatError `TM_RDB_TRUNCATED` when the file is not whole.
   */
  end(): RdbCheck {
    if (this.#fault !== undefined) throw this.#fault as Error;
    return {
      ...this.#scanner.end(),
      valuesChecked: this.#valuesChecked,
      valuesPassed: this.#tools?.strings.passed ?? 0,
      collectionsNotCompared: this.#tools?.overflowed ?? 0,
    };
  }

  #pushToScanner(chunk: Uint8Array, base: number): void {
    try {
      this.#scanner.push(chunk);
    } catch (error) {
      if (this.#fault !== undefined) throw this.#fault as Error;
      // A fault in the content of the value under way may stand before the one in the structure.
      if (error instanceof TidemarkError) this.#followOpen(chunk, base);
      throw error;
    }
  }

  #checkBatch(batch: RdbBatch): void {
    const { count, type, db, base, data, end, valueStart } = batch;
    for (let row = 0; row < count; row += 1) {
      const kind = type[row] as number;
      const entry = isEntry(kind);
      if (!entry && !isLookedInto(kind)) continue;
      const start = contentStart(kind, batch.start[row] as number, valueStart[row] as number);
      if (entry) this.#valuesChecked += 1;
      if (this.#steps === null) {
        if (kind === 0 && start >= base && this.#isSoundString(data, start - base)) continue;
        this.#steps = this.#begin(kind);
      }
      try {
        this.#feed(data, base, start, (end[row] as number) - base);
        this.#steps = null;
      } catch (error) {
        throw (this.#fault = this.#located(error, kind, db[row] as number, batch.keyOf(row)));
      }
    }
  }

  /** Follows the element that the chunk leaves unfinished, if there is one. */
  #followOpen(chunk: Uint8Array, base: number): void {
    const { open } = this.#scanner;
    if (!this.#values || open === null || !open.named || !isLookedInto(open.type)) return;
    this.#steps ??= this.#begin(open.type);
    try {
      const start = contentStart(open.type, open.start, open.valueStart);
      this.#feed(chunk, base, start, chunk.length);
    } catch (error) {
      throw this.#located(error, open.type, open.db, open.key.view());
    }
  }

  /** A plain string holds nothing that could be wrong; of a compressed one a look is enough. */
  #isSoundString(bytes: Uint8Array, at: number): boolean {
    if (bytes[at] !== LZF) return true;
    const cursor = this.#cursor;
    cursor.bytes = bytes;
    cursor.at = at;
    cursor.end = bytes.length;
    return this.#tools?.strings.passWithin(cursor) ?? false;
  }

  #begin(type: number): Steps<void> {
    if (this.#tools === null) {
      const product = this.#scanner.header?.product ?? 'redis';
      this.#tools = new ValueTools(product);
      this.#layouts = layoutsOf(product);
    }
    if (!isEntry(type)) return checkOutside(this.#cursor, type, this.#tools);
    const layout = this.#layouts[type];
    if (layout === undefined) throw new FormatError('TM_INTERNAL', `type ${type} has no layout`);
    return checkValue(this.#cursor, type, layout, this.#tools);
  }

  /** Gives the check the part of its value that lies in `bytes`, from stream offset `start`. */
  #feed(bytes: Uint8Array, base: number, start: number, end: number): void {
    const cursor = this.#cursor;
    cursor.bytes = bytes;
    cursor.base = base;
    cursor.at = Math.max(0, start - base);
    cursor.end = end;
    this.#steps?.next();
  }

  /** The fault with where its value belongs; the key is told apart, since errors hold no data. */
  #located(error: unknown, type: number, db: number, key: Buffer): unknown {
    if (!(error instanceof FormatError) || !isEntry(type)) return error;
    this.#faultKey = Buffer.from(key.subarray(0, KEY_BYTES_NAMED));
    const { code, message, hint, context } = error;
    return new FormatError(code, message, {
      context: { ...context, db, type },
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** Entries, and what stands outside of them and holds strings. */
const isLookedInto = (type: number): boolean =>
  isEntry(type) || type === OPCODE.function2 || type === OPCODE.aux || type === OPCODE.moduleAux;

/** Where the content begins: behind the key, the name of an AUX field, or the opcode. */
function contentStart(type: number, start: number, valueStart: number): number {
  return isEntry(type) || type === OPCODE.aux ? valueStart : start + 1;
}
