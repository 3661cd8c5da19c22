const FIRST_BYTES = 1024;
const KEPT_BYTES = 1024 * 1024;

/**
 * Bytes gathered piece by piece. Room grows with what was really appended (at most twofold), never
 * with what an input claims, and is given back by `clear` when it became large.
 */
export class GrowingBytes {
  length = 0;
  #room: Buffer = Buffer.allocUnsafe(FIRST_BYTES);

  /** Makes room for `more` bytes and gives the buffer; the caller sets `length`. */
  reserve(more: number): Buffer {
    const needed = this.length + more;
    if (needed > this.#room.length) {
      const room = Buffer.allocUnsafe(Math.max(needed, 2 * this.#room.length));
      this.#room.copy(room, 0, 0, this.length);
      this.#room = room;
    }
    return this.#room;
  }

  /** Appends `bytes[start..end)`. */
  append(bytes: Uint8Array, start: number, end: number): void {
    const room = this.reserve(end - start);
    room.set(bytes.subarray(start, end), this.length);
    this.length += end - start;
  }

  /** Appends ASCII text. */
  appendText(text: string): void {
    const room = this.reserve(text.length);
    this.length += room.write(text, this.length, 'latin1');
  }

  /** A view on `start..end`, valid until the next change. */
  view(start = 0, end = this.length): Buffer {
    return this.#room.subarray(start, end);
  }

  clear(): void {
    this.length = 0;
    if (this.#room.length > KEPT_BYTES) this.#room = Buffer.allocUnsafe(FIRST_BYTES);
  }
}
