import { createHash } from 'node:crypto';

/** Names up to here are kept as they are, longer ones as a digest. */
const NAME_BYTES_MAX = 32;
const KEPT_DEFAULT = 32_768;

/**
 * Tells keys apart that SCAN gives again, in bounded memory.
 *
 * SCAN walks the buckets in an order in which all buckets of a large table that fall into one of a
 * smaller table come one after the other. So when a table grows or shrinks between two calls, only
 * keys of the bucket that the walk stands in can come again, and they came a short while ago. The
 * latest ones are enough; all of a walk never have to be kept.
 * @see redis src/dict.c, dictScan; valkey src/hashtable.c, hashtableScan
 */
export class RecentKeys {
  readonly #keptMax: number;
  #latest = new Set<string>();
  #before = new Set<string>();

  /** @param keptMax - How many of the latest keys are known for certain. */
  constructor(keptMax: number = KEPT_DEFAULT) {
    this.#keptMax = keptMax;
  }

  /** @returns Whether the key is new; it is known from now on. */
  add(key: Buffer): boolean {
    const name = nameOf(key);
    if (this.#latest.has(name) || this.#before.has(name)) return false;
    if (this.#latest.size >= this.#keptMax) {
      this.#before = this.#latest;
      this.#latest = new Set();
    }
    this.#latest.add(name);
    return true;
  }
}

function nameOf(key: Buffer): string {
  if (key.length <= NAME_BYTES_MAX) return key.toString('latin1');
  return `#${createHash('sha256').update(key).digest('base64')}`;
}
