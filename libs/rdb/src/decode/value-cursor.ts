import { ChunkCursor } from '../scan/cursor.ts';

/** Where converted bytes go. */
export interface ByteSink {
  /** Takes `bytes[start..end)`; a long range may be kept as a view and must not change. */
  write(bytes: Uint8Array, start?: number, end?: number): void;
}

/**
 * Reads a value and writes another one: what is passed between `copy` and `stop` goes to the sink (or
 * another place) as it is, whatever the chunks.
 */
export class ValueCursor extends ChunkCursor {
  readonly #sink: ByteSink;
  /** Place in the chunk from which on bytes are copied and were not written; -1 outside copying. */
  #copyFrom = -1;
  #copyTo: ByteSink;

  /** @param offset - Stream offset of the value, for faults. */
  constructor(sink: ByteSink, offset: number) {
    super();
    this.#sink = sink;
    this.#copyTo = sink;
    this.base = offset;
  }

  override feed(bytes: Uint8Array): void {
    super.feed(bytes);
    if (this.#copyFrom > 0) this.#copyFrom = 0;
  }

  /** What is passed from here on is copied, by default to the sink. */
  copy(to: ByteSink = this.#sink): void {
    this.flush();
    this.#copyTo = to;
    this.#copyFrom = this.at;
  }

  /** What is passed from here on is left out. */
  stop(): void {
    this.flush();
    this.#copyFrom = -1;
  }

  /** Writes bytes of its own at this place. */
  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.flush();
    this.#sink.write(bytes, start, end);
  }

  /** Hands on what was passed; to be called before the chunk goes. */
  flush(): void {
    if (this.#copyFrom < 0) return;
    this.#copyTo.write(this.bytes, this.#copyFrom, this.at);
    this.#copyFrom = this.at;
  }
}
