import { createHash } from 'node:crypto';
import { FormatError, IntegrityError, UsageError } from '@tidemark/core';
import { FIXED_HEADER_BYTES, SEALED_BYTES_MAX, TAG_BYTES } from './constants.ts';
import { parseSealedHeader, type SealedHeader } from './header.ts';

/** SHA-256 over header, all chunk tags and the total size (u64): the object digest. */
export class ObjectDigest {
  readonly #hash = createHash('sha256');

  header(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  tag(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** @returns 64 hex digits. */
  end(totalBytes: number): string {
    const total = Buffer.alloc(8);
    total.writeBigUInt64BE(BigInt(totalBytes));
    return this.#hash.update(total).digest('hex');
  }
}

/** Takes the header off the front of a pushed object. Used by the readers of this folder. */
export class HeaderReader {
  #head = Buffer.alloc(0);
  #needed = FIXED_HEADER_BYTES;

  /** Bytes seen so far. */
  get length(): number {
    return this.#head.length;
  }

  /** The header's bytes, once it was read. */
  get bytes(): Buffer {
    return this.#head;
  }

  /**
   * @returns The header once it is whole, else null; `used` says how many bytes were its own.
   * @throws FormatError as {@link parseSealedHeader}.
   */
  push(bytes: Uint8Array): { readonly header: SealedHeader | null; readonly used: number } {
    let used = 0;
    while (used < bytes.length) {
      const part = bytes.subarray(used, used + this.#needed - this.#head.length);
      used += part.length;
      this.#head = Buffer.concat([this.#head, part]);
      const parsed = parseSealedHeader(this.#head);
      if (typeof parsed !== 'number') return { header: parsed, used };
      this.#needed = parsed;
    }
    return { header: null, used };
  }
}

/**
 * Computes the object digest of sealed bytes without a key.
 *
 * It proves that these are the bytes the log names, not that they open: chunks between the tags
 * are not looked at.
 */
export class SealedDigest {
  readonly #digest = new ObjectDigest();
  readonly #reader = new HeaderReader();
  readonly #tail = Buffer.alloc(TAG_BYTES);
  #chunkBytes = 0;
  #inChunk = 0;
  #total = 0;
  #state: 'header' | 'chunks' | 'ended' = 'header';

  /**
   * @param bytes - The next bytes of the object, any split.
   * @throws FormatError `TM_SEAL_FORMAT`, `TM_SEAL_LIMIT` as `parseSealedHeader`.
   */
  push(bytes: Uint8Array): void {
    if (this.#state === 'ended') throw new UsageError('TM_USAGE', 'push after end');
    this.#total += bytes.length;
    checkSealedBytes(this.#total);
    let at = 0;
    if (this.#state === 'header') {
      const { header, used } = this.#reader.push(bytes);
      if (header === null) return;
      this.#digest.header(this.#reader.bytes);
      this.#chunkBytes = 2 ** header.chunkLog2 + TAG_BYTES;
      this.#state = 'chunks';
      at = used;
    }
    while (at < bytes.length) {
      const part = bytes.subarray(at, at + this.#chunkBytes - this.#inChunk);
      this.#keepTail(part);
      at += part.length;
      this.#inChunk += part.length;
      if (this.#inChunk === this.#chunkBytes) {
        this.#digest.tag(this.#tail);
        this.#inChunk = 0;
      }
    }
  }

  /**
   * @returns The digest, 64 hex digits.
   * @throws IntegrityError `TM_SEAL_TRUNCATED` when the bytes cannot be a whole object.
   */
  end(): string {
    if (this.#state === 'ended') throw new UsageError('TM_USAGE', 'end was called before');
    const missing = this.#state === 'header' || this.#inChunk < TAG_BYTES;
    this.#state = 'ended';
    if (missing) throw truncated(this.#total);
    this.#digest.tag(this.#tail);
    return this.#digest.end(this.#total);
  }

  /** Keeps the last 16 bytes of the chunk under way. */
  #keepTail(part: Uint8Array): void {
    if (part.length >= TAG_BYTES) {
      this.#tail.set(part.subarray(part.length - TAG_BYTES));
      return;
    }
    this.#tail.copyWithin(0, part.length);
    this.#tail.set(part, TAG_BYTES - part.length);
  }
}

/** The error for an object that ends too early. */
export function truncated(totalBytes: number): IntegrityError {
  return new IntegrityError('TM_SEAL_TRUNCATED', `the object ends too early, at ${totalBytes}`, {
    context: { offset: totalBytes },
    hint: 'the object was cut or is still being written; see "tidemark repo verify"',
  });
}

/** @throws FormatError `TM_SEAL_LIMIT` above 5 TiB. */
export function checkSealedBytes(totalBytes: number): void {
  if (totalBytes <= SEALED_BYTES_MAX) return;
  const message = `sealed size ${totalBytes} exceeds limit ${SEALED_BYTES_MAX}`;
  throw new FormatError('TM_SEAL_LIMIT', message, { context: { offset: SEALED_BYTES_MAX } });
}
