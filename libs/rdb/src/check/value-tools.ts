import type { RdbProduct } from '../format/types.ts';
import type { ChunkCursor, Steps } from '../scan/cursor.ts';
import { rdbFault } from '../scan/faults.ts';
import { MemberTable } from './member-table.ts';
import { PackedFault, type PackedRange } from './packed.ts';
import { StringReader } from './string-reader.ts';

/** What the checks of values work with; the same for all values of a file. */
export class ValueTools {
  readonly product: RdbProduct;
  readonly strings = new StringReader();
  /** Members of a collection, nodes or groups of a stream, fields of a packed value. */
  readonly members = new MemberTable();
  /** Pending entries of one group of a stream. */
  readonly pending = new MemberTable();
  /** Consumers of one group of a stream. */
  readonly consumers = new MemberTable();
  /** Collections with more members than are remembered. */
  overflowed = 0;

  constructor(product: RdbProduct) {
    this.product = product;
  }

  /** Reads a string and says whether it is new in `table`; a string too long to read is. */
  *readNew(cursor: ChunkCursor, table: MemberTable): Steps<boolean> {
    const { strings } = this;
    if (!strings.readWithin(cursor)) yield* strings.read(cursor);
    return !strings.known || table.add(strings.bytes, strings.start, strings.end);
  }

  /** Reads a packed string and checks what it holds; one that is too long is passed. */
  *readPacked(cursor: ChunkCursor, check: (range: PackedRange) => void): Steps<void> {
    const { strings } = this;
    if (!strings.readWithin(cursor)) yield* strings.read(cursor);
    if (!strings.known) return;
    try {
      check(strings);
    } catch (error) {
      if (!(error instanceof PackedFault)) throw error;
      throw valueFault(error.message, strings.offset, error.within);
    }
  }

  /** Notes whether `table` could tell repeated members to the end. */
  settle(table: MemberTable): void {
    if (table.overflowed) this.overflowed += 1;
  }
}

/**
 * A fault in the content of a value.
 * @param within - Position in the decoded content of the packed string that stands at `offset`.
 */
export function valueFault(message: string, offset: number, within?: number): Error {
  return rdbFault('TM_RDB_VALUE', message, offset, {
    context: within === undefined ? {} : { within },
    hint: 'a server refuses such a file or drops the key; take another copy',
  });
}
