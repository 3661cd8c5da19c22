import { createCipheriv } from 'node:crypto';
import { UsageError, type Random } from '@tidemark/core';
import { TAG_BYTES, defaultChunkLog2, type ObjectKind } from './constants.ts';
import { ObjectDigest, checkSealedBytes } from './digest.ts';
import { Gather } from './gather.ts';
import { encodePrelude, joinHeader } from './header.ts';
import { encodeIdentity, type Identity } from './identity.ts';
import { ObjectKeys, type DataKey } from './key-schedule.ts';

/** What a sealing needs. */
export interface SealOptions {
  readonly dataKey: DataKey;
  readonly kind: ObjectKind;
  /** A number of `COMPRESSION`: how the content is compressed already. Nothing is compressed here. */
  readonly compression: number;
  readonly identity: Identity;
  readonly random: Random;
  /** 12..22; default 18 (256 KiB), for snapshots 20. */
  readonly chunkLog2?: number;
}

/**
 * Seals one object in one pass.
 *
 * Legal order: `begin`, any number of `push`, `end`; then `digest`. The object is the header and
 * all returned pieces in order. A ciphertext and its tag are separate pieces, so that nothing is
 * copied when pushes cover whole chunks. Memory: one chunk. The object key is zero-filled by `end`
 * or `destroy`.
 */
export class Sealer {
  readonly #keys: ObjectKeys;
  readonly #header: Buffer;
  readonly #chunkSize: number;
  readonly #gather: Gather;
  readonly #hash = new ObjectDigest();
  #chunk = 0;
  #size = 0;
  #digest = '';
  #state: 'new' | 'open' | 'ended' = 'new';

  /** @throws UsageError `TM_USAGE`, FormatError `TM_SEAL_LIMIT` for options outside the format. */
  constructor(options: SealOptions) {
    const { dataKey, kind, compression, random } = options;
    const chunkLog2 = options.chunkLog2 ?? defaultChunkLog2(kind);
    const salt = random.bytes(32);
    const prelude = encodePrelude({ kind, compression, chunkLog2, dekId: dataKey.id, salt });
    const identity = encodeIdentity(options.identity);
    this.#keys = new ObjectKeys(dataKey, prelude, identity);
    this.#header = joinHeader(prelude, this.#keys.commitment, identity);
    this.#chunkSize = 2 ** chunkLog2;
    this.#gather = new Gather(this.#chunkSize);
  }

  /** Sealed bytes given out so far, header included. */
  get size(): number {
    return this.#size;
  }

  /** @returns The header. Called once, before all else. */
  begin(): Buffer {
    this.#expect('new');
    this.#state = 'open';
    this.#size = this.#header.length;
    this.#hash.header(this.#header);
    return this.#header;
  }

  /**
   * @param bytes - The next plain bytes, any split. They may be used again after the call.
   * @returns Pieces of the chunks that became full, often none.
   * @throws FormatError `TM_SEAL_LIMIT` when the object would pass 5 TiB.
   */
  push(bytes: Uint8Array): Buffer[] {
    this.#expect('open');
    const pieces: Buffer[] = [];
    let at = 0;
    if (this.#gather.length > 0) {
      at = this.#gather.add(bytes);
      if (!this.#gather.full) return pieces;
      this.#seal(this.#gather.view(), pieces);
      this.#gather.clear();
    }
    for (; bytes.length - at >= this.#chunkSize; at += this.#chunkSize) {
      this.#seal(bytes.subarray(at, at + this.#chunkSize), pieces);
    }
    if (at < bytes.length) this.#gather.add(bytes.subarray(at));
    return pieces;
  }

  /** @returns Pieces of the final chunk, which is always shorter than the others. */
  end(): Buffer[] {
    this.#expect('open');
    const pieces: Buffer[] = [];
    this.#seal(this.#gather.view(), pieces);
    this.#digest = this.#hash.end(this.#size);
    this.destroy();
    return pieces;
  }

  /** @returns The object digest, 64 hex digits. Only after `end`. */
  digest(): string {
    if (this.#digest === '') throw new UsageError('TM_USAGE', 'digest before end');
    return this.#digest;
  }

  /** Zero-fills keys and what is gathered; for a sealing that is given up. Idempotent. */
  destroy(): void {
    this.#state = 'ended';
    this.#keys.destroy();
    this.#gather.destroy();
  }

  #seal(plain: Uint8Array, pieces: Buffer[]): void {
    const size = this.#size + plain.length + TAG_BYTES;
    checkSealedBytes(size);
    const nonce = this.#keys.nonceOf(this.#chunk);
    const options = { authTagLength: TAG_BYTES };
    const cipher = createCipheriv('aes-256-gcm', this.#keys.key, nonce, options);
    if (plain.length > 0) pieces.push(cipher.update(plain));
    cipher.final();
    const tag = cipher.getAuthTag();
    pieces.push(tag);
    this.#hash.tag(tag);
    this.#chunk++;
    this.#size = size;
  }

  #expect(state: 'new' | 'open'): void {
    if (this.#state === state) return;
    throw new UsageError('TM_USAGE', 'the order is begin, push …, end, each in its place', {
      context: { state: this.#state },
    });
  }
}
