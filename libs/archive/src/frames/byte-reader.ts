import { FormatError, type ErrorCode } from '@tidemark/core';

/** The object formats of this package; each has its own error code. */
export type ArchiveFormat = 'segment' | 'snapshot' | 'facts' | 'undo';

const CODES: Readonly<Record<ArchiveFormat, ErrorCode>> = {
  segment: 'TM_SEGMENT_FORMAT',
  snapshot: 'TM_SNAPSHOT_FORMAT',
  facts: 'TM_FACTS_FORMAT',
  undo: 'TM_UNDO_FORMAT',
};

/**
 * Makes the error for an object that is not well formed.
 * @param offset - Position in the plain content of the object, in bytes.
 */
export function formatError(
  format: ArchiveFormat,
  message: string,
  offset: number,
  context: Readonly<Record<string, number | string>> = {},
): FormatError {
  return new FormatError(CODES[format], message, {
    context: { offset, ...context },
    hint: 'the object was written wrong or damaged before it was sealed; "tidemark repo verify" names every such object',
  });
}

/** Reads what `ByteWriter` wrote; every read is checked against the end of the bytes. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #format: ArchiveFormat;
  readonly #name: string;
  #position = 0;

  /** @param name - What is read, for messages: "key index". Offsets count within it. */
  constructor(bytes: Buffer, format: ArchiveFormat, name: string) {
    this.#bytes = bytes;
    this.#format = format;
    this.#name = name;
  }

  get position(): number {
    return this.#position;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#position;
  }

  u8(): number {
    this.#need(1);
    return this.#bytes[this.#position++] ?? 0;
  }

  u16(): number {
    this.#need(2);
    this.#position += 2;
    return this.#bytes.readUInt16BE(this.#position - 2);
  }

  u32(): number {
    this.#need(4);
    this.#position += 4;
    return this.#bytes.readUInt32BE(this.#position - 4);
  }

  u64(): bigint {
    this.#need(8);
    this.#position += 8;
    return this.#bytes.readBigUInt64BE(this.#position - 8);
  }

  /** @returns An integer from 0 to 2^53 - 1. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) this.fail('number over 2^53');
        return value;
      }
      scale *= 0x80;
    }
    return this.fail('number longer than 8 bytes');
  }

  /** A varint that must not be above `max`. */
  count(max: number, what: string): number {
    const value = this.varint();
    if (value > max) this.fail(`${what} ${value} exceeds ${max}`);
    return value;
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A view of the next bytes. */
  bytes(length: number): Buffer {
    this.#need(length);
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }

  text(bytesMax: number): string {
    return this.bytes(this.count(bytesMax, 'text length')).toString('utf8');
  }

  /** @throws FormatError when bytes are left over. */
  end(): void {
    if (this.left > 0) this.fail(`${this.left} bytes after the end`);
  }

  /** @throws FormatError always: `message` at the current position. */
  fail(message: string): never {
    throw formatError(this.#format, `${this.#name}: ${message}`, this.#position, {
      section: this.#name,
    });
  }

  #need(bytes: number): void {
    if (this.#bytes.length - this.#position < bytes) {
      this.fail(`${bytes} bytes needed, ${this.left} left`);
    }
  }
}
