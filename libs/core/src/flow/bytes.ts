/** A stream of bytes: chunks of any size above zero; a yielded chunk belongs to the consumer. */
export type ByteSource = AsyncIterable<Uint8Array>;

/**
 * Reads a whole stream into one buffer.
 * @param source - The stream.
 * @param bytesMax - Upper bound, inclusive; above it `onOverflow` is called and must throw.
 */
export async function collectBytes(
  source: ByteSource,
  bytesMax: number,
  onOverflow: (bytes: number) => Error,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of source) {
    length += part.length;
    if (length > bytesMax) throw onOverflow(length);
    parts.push(part);
  }
  return Buffer.concat(parts, length);
}

/** One buffer as a stream. Nothing is yielded for an empty buffer. */
export async function* bytesOf(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part.length > 0) yield await Promise.resolve(part);
  }
}
