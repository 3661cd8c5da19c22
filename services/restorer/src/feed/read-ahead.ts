import type { ByteSource } from '@tidemark/core';

/** What is read ahead. */
export interface ReadAheadLimits {
  readonly items: number;
  readonly bytes: number;
}

/** One thing to be read whole: its size is known before. */
export interface AheadItem {
  readonly bytes: number;
  readonly read: () => ByteSource;
}

/**
 * Reads items whole, a few ahead of the consumer, and yields their chunks in order. An item larger
 * than the byte limit is streamed when its turn comes, so memory stays bounded.
 * @returns The chunks of each item.
 */
export async function* readAhead(
  items: Iterable<AheadItem>,
  limits: ReadAheadLimits,
): AsyncGenerator<ByteSource, void, undefined> {
  const iterator = items[Symbol.iterator]();
  const queue: { readonly bytes: number; readonly source: Promise<ByteSource> | ByteSource }[] = [];
  let ahead = 0;
  let ended = false;
  const fill = (): void => {
    while (!ended && queue.length < limits.items && (ahead < limits.bytes || queue.length === 0)) {
      const next = iterator.next();
      if (next.done === true) {
        ended = true;
        return;
      }
      const { value } = next;
      ahead += value.bytes;
      const whole = value.bytes <= limits.bytes;
      const source = whole ? readWhole(value.read()) : value.read();
      // A fault belongs to the consumer's turn, not to the moment it happens.
      if (source instanceof Promise) source.catch(() => undefined);
      queue.push({ bytes: value.bytes, source });
    }
  };
  for (;;) {
    fill();
    const head = queue.shift();
    if (head === undefined) return;
    yield await head.source;
    ahead -= head.bytes;
  }
}

async function readWhole(source: ByteSource): Promise<ByteSource> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return replay(parts);
}

async function* replay(parts: readonly Uint8Array[]): ByteSource {
  for (const part of parts) yield await Promise.resolve(part);
}
