import { type KeyFilterReader } from './key-filter.ts';
import { type KeyListReader, type KeyRowVisitor } from './key-index.ts';
import { type FoundRowVisitor } from './key-merge.ts';
import { DB_BYTES, INDEXED_KEY_MAX } from './key-table.ts';

/**
 * Which keys a segment holds. A key stands in the segment in which its command ends; the command's
 * first bytes may lie in the segment before.
 */
export interface KeyIndex {
  /** `keys`: exact, can be listed. `filter`: look-ups only, may say yes wrongly. `none`: no help. */
  readonly kind: 'keys' | 'filter' | 'none';
  /** Distinct (db, key); null = not known. */
  readonly count: number | null;
  /** False = no command of the segment names the key. Keys over 4,096 bytes: always true. */
  mayContain(db: number, key: Uint8Array): boolean;
  /** The frames in which the key occurs, rising; `[]` = none; null = any may hold it. */
  framesOf(db: number, key: Uint8Array): readonly number[] | null;
  /**
   * Finds many keys in one pass over a list; those that are not listed are not visited.
   * @param wanted - Rows (`rowOf`) in byte order, of keys up to 4,096 bytes.
   * @returns False, with nothing visited, when the index cannot list keys.
   */
  findEach(wanted: readonly Buffer[], visit: FoundRowVisitor): boolean;
  /**
   * Visits every key in order of (db, key). `key` is used again for the next one.
   * @returns False, with nothing visited, when the index cannot list keys.
   */
  forEach(visit: (db: number, key: Buffer, frames: readonly number[]) => void): boolean;
}

/** The index of a segment that has none: everything may be in it. */
export const NO_INDEX: KeyIndex = {
  kind: 'none',
  count: null,
  mayContain: () => true,
  framesOf: () => null,
  findEach: () => false,
  forEach: () => false,
};

/** A list of keys as an index. */
export class ListIndex implements KeyIndex {
  readonly kind = 'keys';
  readonly count: number;
  readonly #list: KeyListReader;

  constructor(list: KeyListReader) {
    this.#list = list;
    this.count = list.count;
  }

  mayContain(db: number, key: Uint8Array): boolean {
    return key.length > INDEXED_KEY_MAX || this.#list.find(db, key) !== null;
  }

  framesOf(db: number, key: Uint8Array): readonly number[] | null {
    return key.length > INDEXED_KEY_MAX ? null : (this.#list.find(db, key) ?? []);
  }

  findEach(wanted: readonly Buffer[], visit: FoundRowVisitor): boolean {
    this.#list.findEach(wanted, visit);
    return true;
  }

  forEach(visit: (db: number, key: Buffer, frames: readonly number[]) => void): boolean {
    const visitRow: KeyRowVisitor = (row, length, frames) => {
      visit(row.readInt32BE(0), row.subarray(DB_BYTES, length), frames);
    };
    this.#list.forEach(visitRow);
    return true;
  }
}

/** A filter as an index. */
export class FilterIndex implements KeyIndex {
  readonly kind = 'filter';
  readonly count: number;
  readonly #filter: KeyFilterReader;

  constructor(filter: KeyFilterReader) {
    this.#filter = filter;
    this.count = filter.count;
  }

  mayContain(db: number, key: Uint8Array): boolean {
    return key.length > INDEXED_KEY_MAX || this.#filter.mayContain(db, key);
  }

  framesOf(db: number, key: Uint8Array): readonly number[] | null {
    return this.mayContain(db, key) ? null : [];
  }

  findEach(): boolean {
    return false;
  }

  forEach(): boolean {
    return false;
  }
}
