import { createHash, hkdfSync, timingSafeEqual } from 'node:crypto';
import { IntegrityError, KeyError, UsageError } from '@tidemark/core';
import type { ObjectKind } from './constants.ts';
import { encodePrelude, type SealedHeader } from './header.ts';
import { assertSameIdentity, encodeIdentity, type Identity } from './identity.ts';

/** A key that seals objects. The holder zero-fills `key` when it is done with it. */
export interface DataKey {
  /** 32 hex digits, random, not secret. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

const INFO = Buffer.from('tidemark/seal/v1\0', 'latin1');

/** Keys of one object, derived from data key, salt and every header field. */
export class ObjectKeys {
  /** 32 bytes for AES-256-GCM. */
  readonly key: Buffer;
  /** 32 bytes that commit the object to its data key. */
  readonly commitment: Buffer;
  readonly #okm: Buffer;
  readonly #baseHigh: number;
  readonly #baseLow: number;
  readonly #nonce: Buffer;

  /**
   * @param dataKey - 32 bytes.
   * @param prelude - Bytes 0..63 of the object; the salt stands in 32..63.
   * @param identity - Encoded identity.
   */
  constructor(dataKey: DataKey, prelude: Buffer, identity: Buffer) {
    if (dataKey.key.length !== 32) throw new UsageError('TM_USAGE', 'a data key has 32 bytes');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(identity.length);
    // Hashed first: Node takes at most 1,024 bytes of HKDF info.
    const hash = createHash('sha512').update(prelude).update(length).update(identity).digest();
    const info = Buffer.concat([INFO, hash]);
    this.#okm = Buffer.from(hkdfSync('sha512', dataKey.key, prelude.subarray(32, 64), info, 76));
    this.key = this.#okm.subarray(0, 32);
    this.#nonce = Buffer.from(this.#okm.subarray(32, 44));
    this.commitment = this.#okm.subarray(44, 76);
    this.#baseHigh = this.#nonce.readUInt16BE(6);
    this.#baseLow = this.#nonce.readUInt32BE(8);
  }

  /**
   * Nonce of a chunk: base nonce XOR chunk number in the low 48 bits. The buffer is used again by
   * the next call.
   */
  nonceOf(chunk: number): Buffer {
    this.#nonce.writeUInt16BE((this.#baseHigh ^ Math.floor(chunk / 2 ** 32)) & 0xffff, 6);
    this.#nonce.writeUInt32BE((this.#baseLow ^ (chunk % 2 ** 32)) >>> 0, 8);
    return this.#nonce;
  }

  /** Zero-fills everything. */
  destroy(): void {
    this.#okm.fill(0);
    this.#nonce.fill(0);
  }
}

/**
 * Derives the keys of a parsed header and proves that the data key is the one it was sealed with.
 * @throws KeyError `TM_KEY_WRONG` when the data key has another id than the header names.
 * @throws IntegrityError `TM_SEAL_COMMITMENT` when key or header are not the ones of the sealing.
 */
export function keysOfHeader(header: SealedHeader, dataKey: DataKey): ObjectKeys {
  if (dataKey.id !== header.dekId) {
    throw new KeyError('TM_KEY_WRONG', 'the data key has another id than the object names', {
      context: { expected: header.dekId, actual: dataKey.id },
    });
  }
  const keys = new ObjectKeys(dataKey, encodePrelude(header), encodeIdentity(header.identity));
  if (timingSafeEqual(keys.commitment, header.commitment)) return keys;
  keys.destroy();
  throw new IntegrityError('TM_SEAL_COMMITMENT', 'the data key does not fit the object', {
    context: { offset: 64, dekId: header.dekId },
    hint: 'header or data key were changed, or the key belongs to another object',
  });
}

/**
 * Holds a header against what was asked for.
 * @throws IntegrityError `TM_SEAL_IDENTITY`.
 */
export function assertHeaderIs(
  header: SealedHeader,
  expected: { readonly kind: ObjectKind; readonly identity: Identity },
): void {
  if (header.kind !== expected.kind) {
    throw new IntegrityError('TM_SEAL_IDENTITY', 'the object has another kind than asked for', {
      context: { field: 'kind', expected: expected.kind, actual: header.kind },
      hint: 'the object was moved or replaced; see "tidemark repo verify"',
    });
  }
  assertSameIdentity(header.identity, expected.identity);
}

/**
 * Proves a header without a chunk: kind and identity are those asked for, and the data key is the
 * one the object was sealed with (first phase of a restore's verification).
 * @throws IntegrityError `TM_SEAL_IDENTITY`, `TM_SEAL_COMMITMENT`; KeyError `TM_KEY_WRONG`.
 */
export function verifySealedHeader(o: {
  readonly header: SealedHeader;
  readonly kind: ObjectKind;
  readonly identity: Identity;
  readonly dataKey: DataKey;
}): void {
  assertHeaderIs(o.header, o);
  keysOfHeader(o.header, o.dataKey).destroy();
}

/** Zero-fills a data key. The object must not be used after. */
export function wipeDataKey(dataKey: DataKey): void {
  dataKey.key.fill(0);
}
