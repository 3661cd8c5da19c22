/**
 * Distinct pairs of 32-bit hashes: what is kept of keys once they are too many to be listed.
 * 16 bytes for each key at most.
 */
export class HashPairSet {
  readonly #countMax: number;
  #pairs: Int32Array;
  #used: Uint8Array;
  #count = 0;

  /** @param countMax - Most pairs; memory is at most 18 × 2 × this in bytes. */
  constructor(countMax: number, countExpected: number) {
    this.#countMax = countMax;
    const slots = 2 ** Math.ceil(Math.log2(Math.max(256, countExpected * 2)));
    this.#pairs = new Int32Array(slots * 2);
    this.#used = new Uint8Array(slots);
  }

  get count(): number {
    return this.#count;
  }

  /** @returns False when the set is full. */
  add(first: number, second: number): boolean {
    let slot = this.#find(this.#used, this.#pairs, first, second);
    if (this.#used[slot] === 1) return true;
    if (this.#count >= this.#countMax) return false;
    if ((this.#count + 1) * 2 > this.#used.length) {
      this.#grow();
      slot = this.#find(this.#used, this.#pairs, first, second);
    }
    this.#used[slot] = 1;
    this.#pairs[slot * 2] = first;
    this.#pairs[slot * 2 + 1] = second;
    this.#count++;
    return true;
  }

  /** Visits every pair, in no order that means anything. */
  forEach(visit: (first: number, second: number) => void): void {
    for (let slot = 0; slot < this.#used.length; slot++) {
      if (this.#used[slot] === 0) continue;
      visit(this.#pairs[slot * 2] as number, this.#pairs[slot * 2 + 1] as number);
    }
  }

  #find(used: Uint8Array, pairs: Int32Array, first: number, second: number): number {
    const mask = used.length - 1;
    let slot = (first ^ (second << 7)) & mask;
    while (used[slot] === 1 && (pairs[slot * 2] !== first || pairs[slot * 2 + 1] !== second)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const used = new Uint8Array(this.#used.length * 2);
    const pairs = new Int32Array(this.#pairs.length * 2);
    this.forEach((first, second) => {
      const slot = this.#find(used, pairs, first, second);
      used[slot] = 1;
      pairs[slot * 2] = first;
      pairs[slot * 2 + 1] = second;
    });
    this.#used = used;
    this.#pairs = pairs;
  }
}
