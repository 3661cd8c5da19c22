/** Cuts a chunk into views of at most `bytesMax` bytes. */
export function* pieces(
  chunk: Uint8Array,
  bytesMax: number,
): Generator<Uint8Array, void, undefined> {
  if (chunk.length <= bytesMax) {
    yield chunk;
    return;
  }
  for (let at = 0; at < chunk.length; at += bytesMax) yield chunk.subarray(at, at + bytesMax);
}
