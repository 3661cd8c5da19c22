import { IntegrityError, UsageError } from '@tidemark/core';
import { CHUNK_LOG2_DEFAULT, FIXED_HEADER_BYTES, TAG_BYTES } from './constants.ts';
import { encodeIdentity, type Identity } from './identity.ts';

/**
 * Plain bytes of an object of this sealed size.
 * @throws IntegrityError `TM_SEAL_TRUNCATED` when no object has this size.
 */
export function plainSizeOf(
  sealedSize: number,
  header: { readonly chunkLog2: number; readonly headerLength: number },
): number {
  const chunkSize = 2 ** header.chunkLog2;
  const body = sealedSize - header.headerLength;
  const rest = body % (chunkSize + TAG_BYTES);
  if (body < TAG_BYTES || rest < TAG_BYTES) {
    throw new IntegrityError('TM_SEAL_TRUNCATED', `no sealed object has ${sealedSize} bytes`, {
      context: { offset: sealedSize, headerLength: header.headerLength },
    });
  }
  return ((body - rest) / (chunkSize + TAG_BYTES)) * chunkSize + rest - TAG_BYTES;
}

/**
 * Sealed bytes of an object of this plain size: header, plain bytes, 16 bytes for each chunk.
 * @param options - `chunkLog2` defaults to 18; snapshots are sealed with 20.
 */
export function sealedSizeOf(
  plainSize: number,
  options: { readonly identity: Identity; readonly chunkLog2?: number },
): number {
  if (!Number.isSafeInteger(plainSize) || plainSize < 0) {
    throw new UsageError('TM_USAGE', 'a size is a whole number of bytes');
  }
  const header = FIXED_HEADER_BYTES + encodeIdentity(options.identity).length;
  const fullChunks = Math.floor(plainSize / 2 ** (options.chunkLog2 ?? CHUNK_LOG2_DEFAULT));
  return header + plainSize + TAG_BYTES * (fullChunks + 1);
}
