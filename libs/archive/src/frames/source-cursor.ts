import type { ByteSource } from '@tidemark/core';

const EMPTY = Buffer.alloc(0);

/**
 * Reads a stream in pieces of wanted sizes. A piece that lies in one chunk is a view of it; only a
 * piece that spans chunks is copied.
 */
export class SourceCursor implements AsyncDisposable {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #chunk: Buffer = EMPTY;
  #at = 0;
  #position = 0;
  #ended = false;

  constructor(source: ByteSource) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** Bytes taken or skipped so far. */
  get position(): number {
    return this.#position;
  }

  /**
   * @param length - Bytes wanted; the caller has checked it against a limit.
   * @returns Exactly `length` bytes, or fewer when the stream ends before.
   */
  async take(length: number): Promise<Buffer> {
    if (this.#chunk.length === this.#at && length > 0) await this.#pull();
    const here = this.#chunk.length - this.#at;
    if (here >= length || this.#ended) return this.#slice(Math.min(here, length));
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0 && (this.#chunk.length > this.#at || (await this.#pull()))) {
      const part = this.#slice(Math.min(this.#chunk.length - this.#at, missing));
      missing -= part.length;
      parts.push(part);
    }
    return Buffer.concat(parts, length - missing);
  }

  /** Passes over bytes without copying them. @returns How many there were, at most `length`. */
  async skip(length: number): Promise<number> {
    let missing = length;
    while (missing > 0 && (this.#chunk.length > this.#at || (await this.#pull()))) {
      missing -= this.#slice(Math.min(this.#chunk.length - this.#at, missing)).length;
    }
    return length - missing;
  }

  /** Ends the source early; does nothing when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#iterator.return?.();
  }

  #slice(length: number): Buffer {
    this.#at += length;
    this.#position += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  async #pull(): Promise<boolean> {
    while (!this.#ended) {
      const next = await this.#iterator.next();
      if (next.done === true) {
        this.#ended = true;
        this.#chunk = EMPTY;
        this.#at = 0;
        return false;
      }
      const bytes = next.value;
      if (bytes.length === 0) continue;
      this.#chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      this.#at = 0;
      return true;
    }
    return false;
  }
}
