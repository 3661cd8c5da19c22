import { UsageError } from '@tidemark/core';
import type { ObjectKind } from './constants.ts';
import { ChunkOpener } from './chunk-opener.ts';
import { HeaderReader, ObjectDigest, checkSealedBytes, truncated } from './digest.ts';
import type { SealedHeader } from './header.ts';
import type { Identity } from './identity.ts';
import { assertHeaderIs, keysOfHeader, type DataKey } from './key-schedule.ts';

/** What an opening needs: what was asked for, never what the object says of itself. */
export interface OpenOptions {
  /** Finds the data key of an id (32 hex digits); throws `TM_KEY_MISSING` when there is none. */
  readonly keyOf: (dekId: string) => DataKey;
  readonly kind: ObjectKind;
  readonly identity: Identity;
}

/**
 * Opens one sealed object in one pass.
 *
 * Header, kind, identity and commitment are checked, in this order, before any chunk; plain bytes
 * leave chunk by chunk, each after its tag has held. The object is proven whole only when `end`
 * returns: a consumer that acts before must be able to take it back. After an error every call
 * throws the same error. Memory: one chunk.
 */
export class Opener {
  readonly #options: OpenOptions;
  readonly #reader = new HeaderReader();
  readonly #hash = new ObjectDigest();
  #chunks: ChunkOpener | null = null;
  #header: SealedHeader | null = null;
  #total = 0;
  #digest = '';
  #failure: Error | null = null;

  constructor(options: OpenOptions) {
    this.#options = options;
  }

  /** The header, once it was read and proven; null before. */
  get header(): SealedHeader | null {
    return this.#header;
  }

  /**
   * @param bytes - The next sealed bytes, any split.
   * @returns Plain bytes of the chunks that became whole, often none.
   * @throws FormatError `TM_SEAL_FORMAT`, `TM_SEAL_LIMIT`; IntegrityError `TM_SEAL_IDENTITY`,
   *   `TM_SEAL_COMMITMENT`, `TM_SEAL_CHUNK`; KeyError from `keyOf` and `TM_KEY_WRONG`.
   */
  push(bytes: Uint8Array): Buffer[] {
    return this.#guard(() => {
      this.#total += bytes.length;
      checkSealedBytes(this.#total);
      if (this.#chunks !== null) return this.#chunks.push(bytes);
      const { header, used } = this.#reader.push(bytes);
      if (header === null) return [];
      this.#chunks = this.#accept(header);
      return used < bytes.length ? this.#chunks.push(bytes.subarray(used)) : [];
    });
  }

  /**
   * @returns Plain bytes of the final chunk; one buffer, or none when it is empty.
   * @throws IntegrityError `TM_SEAL_TRUNCATED`, `TM_SEAL_CHUNK`.
   */
  end(): Buffer[] {
    return this.#guard(() => {
      if (this.#chunks === null) throw truncated(this.#total);
      const last = this.#chunks.end();
      this.#digest = this.#hash.end(this.#total);
      this.destroy();
      return last.length > 0 ? [last] : [];
    });
  }

  /** @returns The object digest of the bytes read, 64 hex digits. Only after `end`. */
  digest(): string {
    if (this.#digest === '') throw new UsageError('TM_USAGE', 'digest before end');
    return this.#digest;
  }

  /** Zero-fills keys; for an opening that is given up. Idempotent. */
  destroy(): void {
    this.#chunks?.destroy();
    this.#failure ??= new UsageError('TM_USAGE', 'the opener has ended');
  }

  #accept(header: SealedHeader): ChunkOpener {
    assertHeaderIs(header, this.#options);
    const keys = keysOfHeader(header, this.#options.keyOf(header.dekId));
    this.#header = header;
    this.#hash.header(this.#reader.bytes);
    return new ChunkOpener({
      keys,
      chunkLog2: header.chunkLog2,
      first: 0,
      offset: header.headerLength,
      onTag: (tag) => this.#hash.tag(tag),
    });
  }

  #guard(step: () => Buffer[]): Buffer[] {
    if (this.#failure !== null) throw this.#failure;
    try {
      return step();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error('opening failed');
      this.destroy();
      throw error;
    }
  }
}
