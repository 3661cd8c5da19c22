/** Collects bytes up to a fixed count. Grows as bytes come, never by a claimed size. */
export class Gather {
  readonly #limit: number;
  #buffer = Buffer.alloc(0);
  #length = 0;

  /** @param limit - Bytes that make it full. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  get full(): boolean {
    return this.#length === this.#limit;
  }

  /**
   * Copies bytes in until it is full.
   * @returns How many were taken.
   */
  add(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.#limit - this.#length);
    this.#reserve(this.#length + taken);
    this.#buffer.set(taken === bytes.length ? bytes : bytes.subarray(0, taken), this.#length);
    this.#length += taken;
    return taken;
  }

  /** What is in it; valid until the next call. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Empties it for the next bytes. */
  clear(): void {
    this.#length = 0;
  }

  /** Zero-fills and drops the memory. */
  destroy(): void {
    this.#buffer.fill(0);
    this.#buffer = Buffer.alloc(0);
    this.#length = 0;
  }

  #reserve(needed: number): void {
    if (needed <= this.#buffer.length) return;
    const size = Math.min(this.#limit, Math.max(needed, this.#buffer.length * 2, 512));
    const grown = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer.fill(0);
    this.#buffer = grown;
  }
}
