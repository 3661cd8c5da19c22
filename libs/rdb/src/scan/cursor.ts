const EMPTY = new Uint8Array(0);

/** The chunk under work and the place in it. */
export class ChunkCursor {
  bytes: Uint8Array = EMPTY;
  /** Position in `bytes` of the next byte to be read. */
  at = 0;
  /** Length of `bytes`. */
  end = 0;
  /** Stream offset of `bytes[0]`. */
  base = 0;

  /** Stream offset of the next byte to be read. */
  get offset(): number {
    return this.base + this.at;
  }

  /** Takes the next chunk; the one before must have been read to its end. */
  feed(bytes: Uint8Array): void {
    this.base += this.end;
    this.bytes = bytes;
    this.at = 0;
    this.end = bytes.length;
  }
}

/** A reader that stops (yields) when the chunk is used up and goes on with the next one. */
export type Steps<T> = Generator<undefined, T, undefined>;
