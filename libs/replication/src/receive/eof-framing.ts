const NOTHING = Buffer.alloc(0);

/** What a chunk held. */
export interface FramedPart {
  /** Bytes of the RDB; maybe none. */
  readonly data: Buffer;
  /** Set once the mark was found: what came behind it. */
  readonly rest: Buffer | null;
}

/**
 * Finds the end of an RDB of unknown length: the 40 bytes that the header `$EOF:` named. They may be
 * split over chunks; text that only begins as they do is data.
 *
 * @see redis src/rdb.c, `rdbSaveRioWithEOFMark`
 */
export class EofFraming {
  readonly #mark: Buffer;
  #carry: Buffer = NOTHING;

  constructor(mark: Buffer) {
    this.#mark = mark;
  }

  /** @param chunk - Its memory is passed through; it must not change before the next call. */
  push(chunk: Buffer): FramedPart {
    const mark = this.#mark;
    const bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    this.#carry = NOTHING;
    const at = bytes.indexOf(mark);
    if (at >= 0) {
      return { data: bytes.subarray(0, at), rest: bytes.subarray(at + mark.length) };
    }
    const end = bytes.length - this.#begunAtEnd(bytes);
    if (end < bytes.length) this.#carry = Buffer.from(bytes.subarray(end));
    return { data: bytes.subarray(0, end), rest: null };
  }

  /** How many bytes at the end may be the beginning of the mark. */
  #begunAtEnd(bytes: Buffer): number {
    const mark = this.#mark;
    for (let count = Math.min(mark.length - 1, bytes.length); count > 0; count--) {
      if (mark.compare(bytes, bytes.length - count, bytes.length, 0, count) === 0) return count;
    }
    return 0;
  }
}
