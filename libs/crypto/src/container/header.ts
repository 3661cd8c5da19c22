import { FormatError, UsageError } from '@tidemark/core';
import {
  CHUNK_LOG2_MAX,
  CHUNK_LOG2_MIN,
  FIXED_HEADER_BYTES,
  IDENTITY_BYTES_MAX,
  PRELUDE_BYTES,
  SEAL_MAGIC,
  SEAL_SUITE,
  SEAL_VERSION,
  isCompression,
  isObjectKind,
  type Compression,
  type ObjectKind,
} from './constants.ts';
import { decodeIdentity, type Identity } from './identity.ts';

/** The header of a sealed object as it was read. Nothing in it is proven before the commitment. */
export interface SealedHeader {
  readonly kind: ObjectKind;
  readonly compression: Compression;
  /** Log2 of the plain bytes of a full chunk, 12..22. */
  readonly chunkLog2: number;
  /** 32 hex digits. */
  readonly dekId: string;
  /** 32 bytes. */
  readonly salt: Buffer;
  /** 32 bytes. */
  readonly commitment: Buffer;
  readonly identity: Identity;
  /** Bytes before the first chunk. */
  readonly headerLength: number;
}

/** The fields of the first 64 bytes. */
export type PreludeFields = Pick<SealedHeader, 'kind' | 'chunkLog2' | 'dekId' | 'salt'> & {
  readonly compression: number;
};

/**
 * Writes bytes 0..63 of an object (docs/formats/sealed-container.md).
 * @throws UsageError `TM_USAGE` when a field is outside its range.
 */
export function encodePrelude(fields: PreludeFields): Buffer {
  const { kind, compression, chunkLog2, dekId, salt } = fields;
  if (!isObjectKind(kind) || !isCompression(compression) || !isChunkLog2(chunkLog2)) {
    throw new UsageError('TM_USAGE', 'kind, compression or chunk size is outside its range', {
      context: { kind, compression, chunkLog2 },
    });
  }
  if (!/^[0-9a-f]{32}$/.test(dekId) || salt.length !== 32) {
    throw new UsageError('TM_USAGE', 'a data key id is 32 hex digits, a salt 32 bytes');
  }
  const prelude = Buffer.alloc(PRELUDE_BYTES);
  SEAL_MAGIC.copy(prelude, 0);
  prelude[8] = SEAL_VERSION;
  prelude[9] = SEAL_SUITE;
  prelude[10] = kind;
  prelude[11] = compression;
  prelude[12] = chunkLog2;
  prelude.write(dekId, 16, 'hex');
  salt.copy(prelude, 32);
  return prelude;
}

/** Joins prelude, commitment and encoded identity to a whole header. */
export function joinHeader(prelude: Buffer, commitment: Buffer, identity: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(identity.length);
  return Buffer.concat([prelude, commitment, length, identity]);
}

/**
 * Reads the header at the start of a sealed object.
 *
 * Looks only at its form: kind, identity and key are held against what was asked for by `Opener`
 * or `verifySealedHeader`. A wrong magic is refused at its first byte.
 * @param bytes - The object from its start, as far as it is there.
 * @returns The header, or how many bytes are needed in all (more than given).
 * @throws FormatError `TM_SEAL_FORMAT` for a wrong or non-canonical field, `TM_SEAL_LIMIT` for an
 *   identity over 4,096 bytes; `context.offset` is the byte position.
 */
export function parseSealedHeader(bytes: Uint8Array): SealedHeader | number {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < SEAL_MAGIC.length && i < view.length; i++) {
    if (view[i] !== SEAL_MAGIC[i]) throw refused(i, 'not a sealed object');
  }
  if (view.length < FIXED_HEADER_BYTES) return FIXED_HEADER_BYTES;
  const { kind, compression, chunkLog2 } = readFixed(view);
  const identityLength = view.readUInt32BE(96);
  if (identityLength > IDENTITY_BYTES_MAX) {
    const message = `identity length ${identityLength} exceeds limit ${IDENTITY_BYTES_MAX}`;
    throw new FormatError('TM_SEAL_LIMIT', message, { context: { offset: 96, identityLength } });
  }
  const headerLength = FIXED_HEADER_BYTES + identityLength;
  if (view.length < headerLength) return headerLength;
  return {
    kind,
    compression,
    chunkLog2,
    dekId: view.toString('hex', 16, 32),
    salt: Buffer.from(view.subarray(32, 64)),
    commitment: Buffer.from(view.subarray(64, 96)),
    identity: decodeIdentity(view.subarray(FIXED_HEADER_BYTES, headerLength)),
    headerLength,
  };
}

function readFixed(view: Buffer): Pick<SealedHeader, 'kind' | 'compression' | 'chunkLog2'> {
  const kind = view[10] ?? 0;
  const compression = view[11] ?? 0;
  const chunkLog2 = view[12] ?? 0;
  if (view[8] !== SEAL_VERSION) {
    throw refused(8, `container version ${view[8] ?? 0} is not known`, {
      hint: 'the object was written by a newer release; update Tidemark',
    });
  }
  if (view[9] !== SEAL_SUITE) throw refused(9, `suite ${view[9] ?? 0} is not known`);
  if (!isObjectKind(kind)) throw refused(10, `object kind ${kind} is not known`);
  if (!isCompression(compression)) throw refused(11, `compression ${compression} is not known`);
  if (!isChunkLog2(chunkLog2)) throw refused(12, `chunk size 2^${chunkLog2} is not allowed`);
  for (let i = 13; i < 16; i++) {
    if (view[i] !== 0) throw refused(i, 'a reserved byte is not zero');
  }
  return { kind, compression, chunkLog2 };
}

function isChunkLog2(value: number): boolean {
  return Number.isInteger(value) && value >= CHUNK_LOG2_MIN && value <= CHUNK_LOG2_MAX;
}

function refused(offset: number, message: string, more: { hint?: string } = {}): FormatError {
  return new FormatError('TM_SEAL_FORMAT', message, { context: { offset }, ...more });
}
