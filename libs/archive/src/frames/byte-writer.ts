/**
 * A growing buffer for the small sections of a segment or snapshot.
 *
 * Numbers are written as LEB128 (7 bits a byte, low group first, high bit = more), signed ones in
 * zigzag order. `bytesMax` bounds the memory: once over it, `overflowed` is true and nothing more
 * is taken, so that the caller looks once at the end instead of at every write.
 */
export class ByteWriter {
  readonly #bytesMax: number;
  #buffer: Buffer;
  #length = 0;
  #overflowed = false;

  /** @param bytesMax - Upper bound of the content in bytes, inclusive. */
  constructor(bytesMax: number, bytesFirst = 256) {
    this.#bytesMax = bytesMax;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(bytesMax, bytesFirst) + 16);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Whether a write was dropped because the bound was reached; the content is then of no use. */
  get overflowed(): boolean {
    return this.#overflowed || this.#length > this.#bytesMax;
  }

  u8(value: number): void {
    if (this.#reserve(1)) this.#buffer[this.#length++] = value;
  }

  u16(value: number): void {
    if (this.#reserve(2)) this.#length = this.#buffer.writeUInt16BE(value, this.#length);
  }

  u32(value: number): void {
    if (this.#reserve(4)) this.#length = this.#buffer.writeUInt32BE(value, this.#length);
  }

  u64(value: bigint): void {
    if (this.#reserve(8)) this.#length = this.#buffer.writeBigUInt64BE(value, this.#length);
  }

  /** @param value - An integer from 0 to 2^53 - 1. */
  varint(value: number): void {
    if (!this.#reserve(8)) return;
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  /** @param value - An integer from -2^52 to 2^52 - 1. */
  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  bytes(source: Uint8Array, start = 0, end: number = source.length): void {
    if (!this.#reserve(end - start)) return;
    if (end - start < 24) {
      for (let i = start; i < end; i++) this.#buffer[this.#length++] = source[i] ?? 0;
      return;
    }
    this.#buffer.set(source.subarray(start, end), this.#length);
    this.#length += end - start;
  }

  /** Length-prefixed UTF-8 text. */
  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    this.varint(bytes.length);
    this.bytes(bytes);
  }

  /** The content; a view into the writer, which must not be used afterwards. */
  take(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(bytes: number): boolean {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return true;
    if (this.#overflowed || needed > this.#bytesMax + 16) {
      this.#overflowed = true;
      return false;
    }
    const size = Math.min(Math.max(needed, this.#buffer.length * 2), this.#bytesMax + 16);
    const grown = Buffer.allocUnsafeSlow(size);
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    return true;
  }
}
