import { createHash } from 'node:crypto';
import type { ByteSource } from '@tidemark/core';

/** What tells whether bytes are the same. */
export interface BytesDigest {
  /** SHA-256, 64 hex digits. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/** Reads bytes to their end. */
export async function digestOf(bytes: ByteSource): Promise<BytesDigest> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of bytes) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: hash.digest('hex'), size };
}
