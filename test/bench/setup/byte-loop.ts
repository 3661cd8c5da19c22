const CHUNK_BYTES = 256 * 1024;

/** The bytes in pieces of 256 KiB, as a reader of a file gets them. */
export function chunksOf(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    chunks.push(bytes.subarray(at, at + CHUNK_BYTES));
  }
  return chunks;
}

/** The measure of decoders: touches every byte, nothing else. */
export function touch(chunks: readonly Buffer[]): number {
  let sum = 0;
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += 1) sum = (sum + (chunk[at] as number)) | 0;
  }
  return sum;
}
