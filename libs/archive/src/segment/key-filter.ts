import { ByteReader } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';
import { type HashPairSet } from './hash-set.ts';
import { keyHash } from './key-hash.ts';

/** Upper bound of the content of a filter, in bytes. */
export const KEY_FILTER_BYTES_MAX = 16 * 1_048_576;

const BITS_PER_KEY = 10;
const PROBES = 7;
const PROBES_MAX = 32;
const BITS_MIN = 64;

/**
 * Encodes a Bloom filter over (db, key): 10 bits and 7 probes for each, about 1 in 120 look-ups of
 * an absent key says "maybe".
 * @see docs/formats/segment.md, "Key filter"
 */
export function encodeKeyFilter(hashes: HashPairSet, seeds: readonly [number, number]): Buffer {
  const bitCount = Math.max(BITS_MIN, hashes.count * BITS_PER_KEY);
  const bits = Buffer.alloc(Math.ceil(bitCount / 8));
  hashes.forEach((first, second) => {
    for (let probe = 0; probe < PROBES; probe++) {
      const bit = bitOf(first, second, probe, bitCount);
      bits[bit >>> 3] = (bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
    }
  });
  const writer = new ByteWriter(KEY_FILTER_BYTES_MAX, bits.length + 32);
  writer.u32(seeds[0] >>> 0);
  writer.u32(seeds[1] >>> 0);
  writer.u8(PROBES);
  writer.varint(hashes.count);
  writer.varint(bitCount);
  writer.bytes(bits);
  return writer.take();
}

/** Answers look-ups of single keys; it cannot list any. */
export class KeyFilterReader {
  readonly count: number;
  readonly #seeds: readonly [number, number];
  readonly #probes: number;
  readonly #bitCount: number;
  readonly #bits: Buffer;

  /** @throws FormatError `TM_SEGMENT_FORMAT`. */
  constructor(bytes: Buffer) {
    const reader = new ByteReader(bytes, 'segment', 'key filter');
    this.#seeds = [reader.u32(), reader.u32()];
    this.#probes = reader.u8();
    if (this.#probes < 1 || this.#probes > PROBES_MAX) reader.fail(`${this.#probes} probes`);
    this.count = reader.varint();
    this.#bitCount = reader.count(KEY_FILTER_BYTES_MAX * 8, 'bit count');
    if (this.#bitCount < 1) reader.fail('a filter without bits');
    this.#bits = reader.bytes(Math.ceil(this.#bitCount / 8));
    reader.end();
  }

  /** False = the key does not occur; true = it may. */
  mayContain(db: number, key: Uint8Array): boolean {
    const first = keyHash(this.#seeds[0], db, key, 0, key.length);
    const second = keyHash(this.#seeds[1], db, key, 0, key.length);
    for (let probe = 0; probe < this.#probes; probe++) {
      const bit = bitOf(first, second, probe, this.#bitCount);
      if (((this.#bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}

/** Double hashing: the second hash is made odd, so that the probes differ. */
function bitOf(first: number, second: number, probe: number, bitCount: number): number {
  return ((first + Math.imul(probe, second | 1)) >>> 0) % bitCount;
}
