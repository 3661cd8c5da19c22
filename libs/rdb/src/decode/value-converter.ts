import type { Steps } from '../scan/cursor.ts';
import { rdbFault } from '../scan/faults.ts';
import { type ByteSink, ValueCursor } from './value-cursor.ts';

/** How one value becomes another: reads all of it from the cursor and writes to it. */
export type ConvertValue = (cursor: ValueCursor) => Steps<void>;

/** Runs a conversion over a value that comes in chunks of any size. */
export class ValueConverter {
  readonly #cursor: ValueCursor;
  readonly #steps: Steps<void>;
  #done = false;

  /** @param offset - Stream offset of the value, for faults. */
  constructor(convert: ConvertValue, sink: ByteSink, offset: number) {
    this.#cursor = new ValueCursor(sink, offset);
    this.#steps = convert(this.#cursor);
  }

  /**
   * Takes the next bytes of the value.
   * @throws FormatError `TM_RDB_TRAILING` for bytes after it, and what the conversion finds.
   */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#cursor.feed(bytes);
    if (!this.#done) this.#done = this.#steps.next().done === true;
    this.#cursor.flush();
    if (this.#done && this.#cursor.at < this.#cursor.end) {
      throw rdbFault('TM_RDB_TRAILING', 'bytes follow the end of a value', this.#cursor.offset);
    }
  }

  /**
   * Says that no more bytes come.
   * @throws FormatError `TM_RDB_TRUNCATED` when the value is not whole.
   */
  end(): void {
    if (this.#done) return;
    const { offset } = this.#cursor;
    throw rdbFault('TM_RDB_TRUNCATED', `a value ends too early at byte ${offset}`, offset);
  }
}
