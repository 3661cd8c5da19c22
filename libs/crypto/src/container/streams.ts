import type { ByteSource } from '@tidemark/core';
import { Opener, type OpenOptions } from './opener.ts';
import { Sealer, type SealOptions } from './sealer.ts';

/**
 * Seals a stream. Ask the sealer for size and digest after the last piece. Chunks of the source are
 * used up before the next one is asked for.
 *
 * A chunk leaves as one piece with its tag; the header goes with the first.
 */
export async function* sealStream(source: ByteSource, sealer: Sealer): AsyncGenerator<Buffer> {
  for await (const pieces of sealPieces(source, sealer)) yield Buffer.concat(pieces);
}

/** The same for who can take a chunk, its tag and the header piece by piece: nothing is copied. */
export async function* sealPieces(
  source: ByteSource,
  sealer: Sealer,
): AsyncGenerator<readonly Buffer[]> {
  try {
    let head: readonly Buffer[] = [sealer.begin()];
    for await (const bytes of source) {
      const pieces = sealer.push(bytes);
      for (let i = 0; i + 1 < pieces.length; i += 2) {
        yield [...head, ...pieces.slice(i, i + 2)];
        head = [];
      }
    }
    yield [...head, ...sealer.end()];
  } finally {
    sealer.destroy();
  }
}

/**
 * Opens a stream. A break off by the consumer zero-fills the keys; the object is proven whole only
 * when the stream has ended.
 * @throws As `Opener`.
 */
export async function* openStream(source: ByteSource, opener: Opener): AsyncGenerator<Buffer> {
  try {
    for await (const bytes of source) yield* opener.push(bytes);
    yield* opener.end();
  } finally {
    opener.destroy();
  }
}

/** Seals bytes that fit in memory. */
export function sealBytes(
  plain: Uint8Array,
  options: SealOptions,
): { readonly bytes: Buffer; readonly digest: string } {
  const sealer = new Sealer(options);
  try {
    const bytes = Buffer.concat([sealer.begin(), ...sealer.push(plain), ...sealer.end()]);
    return { bytes, digest: sealer.digest() };
  } finally {
    sealer.destroy();
  }
}

/**
 * Opens bytes that fit in memory; nothing is returned unless the whole object has held.
 * @throws As `Opener`.
 */
export function openBytes(sealed: Uint8Array, options: OpenOptions): Buffer {
  const opener = new Opener(options);
  try {
    const pieces = opener.push(sealed);
    pieces.push(...opener.end());
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
  } finally {
    opener.destroy();
  }
}
