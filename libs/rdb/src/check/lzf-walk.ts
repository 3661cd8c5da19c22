/**
 * Follows an LZF block without writing what it stands for: enough to know that it decodes, and to
 * how many bytes. Needs no memory, whatever the block claims.
 *
 * @see decodeLzf for the format
 */
export class LzfWalk {
  /** Bytes the block stands for so far. */
  #plain = 0;
  #wanted = 0;
  /** Literals still to pass. */
  #literals = 0;
  /** The control byte of a back reference under way, or -1. */
  #control = -1;
  /** Length of that reference, 0 while the byte that tells it is still to come. */
  #copy = 0;
  #wrong = false;

  /** @param length - Decoded length that the file claims. */
  begin(length: number): void {
    this.#plain = 0;
    this.#wanted = length;
    this.#literals = 0;
    this.#control = -1;
    this.#wrong = false;
  }

  /** Takes the next bytes of the block. */
  take(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end && !this.#wrong) {
      if (this.#literals > 0) {
        const here = Math.min(this.#literals, end - at);
        this.#literals -= here;
        at += here;
        continue;
      }
      this.#step(bytes[at] as number);
      at += 1;
    }
  }

  /** Whether the bytes taken are a whole block of the length that was claimed. */
  get whole(): boolean {
    return (
      !this.#wrong && this.#literals === 0 && this.#control < 0 && this.#plain === this.#wanted
    );
  }

  #step(byte: number): void {
    if (this.#control < 0) {
      if (byte < 32) {
        this.#literals = byte + 1;
        this.#advance(byte + 1);
        return;
      }
      this.#control = byte;
      this.#copy = byte >> 5 === 7 ? 0 : (byte >> 5) + 2;
    } else if (this.#copy === 0) {
      this.#copy = byte + 9;
    } else {
      const distance = (((this.#control & 0x1f) << 8) | byte) + 1;
      if (distance > this.#plain) this.#wrong = true;
      this.#advance(this.#copy);
      this.#control = -1;
    }
  }

  #advance(bytes: number): void {
    this.#plain += bytes;
    if (this.#plain > this.#wanted) this.#wrong = true;
  }
}
