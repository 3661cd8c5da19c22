import type { ByteSource } from '@tidemark/core';
import type { ReplicaLink } from './replica-link.ts';

/**
 * Pulls a source to its end, one chunk at a time, at the speed of the link.
 * @param take - Sends a chunk; returns a promise when the link has no room for the next.
 * @throws LinkLost; the error of the source.
 */
export async function pumpSource(
  link: ReplicaLink,
  source: ByteSource,
  take: (chunk: Uint8Array) => Promise<void> | undefined,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await link.wait(iterator.next());
      if (next.done === true) {
        ended = true;
        return;
      }
      if (next.value.length === 0) continue;
      const full = take(next.value);
      if (full !== undefined) await link.wait(full);
    }
  } finally {
    // Not awaited: a source that hangs must not hang the next link.
    if (!ended) iterator.return?.().catch(() => undefined);
  }
}
