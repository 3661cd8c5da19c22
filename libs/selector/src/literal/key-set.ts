import { UsageError } from '@tidemark/core';

/** Bytes that all keys of a set may have together. */
const BYTES_MAX = 1024 * 1024 * 1024;

/** A set of keys, held in a few flat arrays; looked up without making an object. */
export class KeySet {
  /** Keys in the set, each counted once. */
  readonly size: number;
  readonly #bytes: Buffer;
  /** Key n lies from `#ends[n]` to `#ends[n + 1]`. */
  readonly #ends: Uint32Array;
  readonly #hashes: Int32Array;
  /** Number of a key + 1, or 0. */
  readonly #slots: Int32Array;

  /**
   * @param keys - May hold a key more than once.
   * @throws UsageError `TM_LIMIT` when they have over 1 GiB together.
   */
  constructor(keys: readonly Buffer[]) {
    const bytes = keys.reduce((sum, key) => sum + key.length, 0);
    if (bytes > BYTES_MAX) {
      throw new UsageError('TM_LIMIT', `keys of ${bytes.toString()} bytes, at most 1 GiB`, {
        context: { bytes, bytesMax: BYTES_MAX },
        hint: 'name them by a pattern, or in several runs',
      });
    }
    this.#bytes = Buffer.allocUnsafeSlow(bytes);
    this.#ends = new Uint32Array(keys.length + 1);
    this.#hashes = new Int32Array(keys.length);
    this.#slots = new Int32Array(slotsFor(keys.length));
    let size = 0;
    for (const key of keys) if (this.#add(key, size)) size += 1;
    this.size = size;
  }

  /** Of the keys that the set was made from, each once, in their order. */
  distinct(keys: readonly Buffer[]): readonly Buffer[] {
    if (this.size === keys.length) return keys;
    let next = 0;
    return keys.filter((key) => {
      const isNext = next < this.size && this.#equal(next, key, 0, key.length);
      if (isNext) next += 1;
      return isNext;
    });
  }

  /** Whether the bytes from `start` to `end` (exclusive) are one of the keys. */
  has(data: Uint8Array, start: number, end: number): boolean {
    return this.#slots[this.#find(data, start, end, hashOf(data, start, end))] !== 0;
  }

  #add(key: Buffer, number: number): boolean {
    const hash = hashOf(key, 0, key.length);
    const slot = this.#find(key, 0, key.length, hash);
    if (this.#slots[slot] !== 0) return false;
    const from = this.#ends[number] as number;
    key.copy(this.#bytes, from);
    this.#ends[number + 1] = from + key.length;
    this.#hashes[number] = hash;
    this.#slots[slot] = number + 1;
    return true;
  }

  /** The slot that holds the key, or the empty one where it would stand. */
  #find(data: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (let entry = slots[slot] as number; entry !== 0; entry = slots[slot] as number) {
      if (this.#hashes[entry - 1] === hash && this.#equal(entry - 1, data, start, end)) return slot;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #equal(number: number, data: Uint8Array, start: number, end: number): boolean {
    const from = this.#ends[number] as number;
    const length = (this.#ends[number + 1] as number) - from;
    if (length !== end - start) return false;
    for (let at = 0; at < length; at += 1) {
      if (this.#bytes[from + at] !== data[start + at]) return false;
    }
    return true;
  }
}

/** A power of two, at least twice the keys, so that a slot is found within a few steps. */
const slotsFor = (keys: number): number => 2 ** Math.ceil(Math.log2(Math.max(8, keys * 2)));

function hashOf(data: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at += 1) {
    hash = Math.imul(hash ^ (data[at] as number), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
