const MULTIPLIER = 0x9e37_79b1;
const FINAL_FIRST = 0x7feb_352d;
const FINAL_SECOND = 0x846c_a68b;

/**
 * The keyed 32-bit hash of a key in a database, as docs/formats/segment.md defines it. Part of the
 * format: filters hold it.
 * @param end - Exclusive.
 * @returns 32 bits as a signed number: those the engine keeps without a heap object.
 */
export function keyHash(
  seed: number,
  db: number,
  data: Uint8Array,
  start: number,
  end: number,
): number {
  let hash = Math.imul(seed ^ db, MULTIPLIER) ^ (end - start);
  let at = start;
  for (const words = end - 3; at < words; at += 4) {
    const word =
      (data[at] as number) |
      ((data[at + 1] as number) << 8) |
      ((data[at + 2] as number) << 16) |
      ((data[at + 3] as number) << 24);
    hash = Math.imul(hash ^ word, MULTIPLIER);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) {
    hash = Math.imul(hash ^ (data[at] as number), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), FINAL_FIRST);
  hash = Math.imul(hash ^ (hash >>> 15), FINAL_SECOND);
  return hash ^ (hash >>> 16);
}

/** The two seeds of a segment's hashes. They follow from what names the segment: no randomness. */
export function seedsOf(timeline: string, start: bigint): readonly [number, number] {
  const name = Buffer.from(`${timeline}/${start.toString()}`, 'utf8');
  return [keyHash(1, 0, name, 0, name.length), keyHash(2, 0, name, 0, name.length)];
}
