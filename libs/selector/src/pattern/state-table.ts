/** Words that all remembered states of one pattern may take. */
const WORDS_MAX = 1 << 20;
const STATES_MAX = 2_048;
const FIRST_SLOTS = 32;

/** Sets of nodes, each with a number: the states that a machine was seen in. Bounded. */
export class StateTable {
  readonly statesMax: number;
  readonly #words: number;
  #bits: Int32Array;
  #slots = new Int32Array(FIRST_SLOTS);
  #count = 0;

  /** @param words - 32-bit words in a set. */
  constructor(words: number) {
    this.#words = words;
    this.statesMax = Math.max(4, Math.min(STATES_MAX, Math.floor(WORDS_MAX / words)));
    this.#bits = new Int32Array(words * 8);
  }

  get count(): number {
    return this.#count;
  }

  /** Forgets all states. */
  clear(): void {
    this.#count = 0;
    this.#slots.fill(0);
  }

  /** Copies a state's set into `into`. */
  read(state: number, into: Int32Array): void {
    const from = state * this.#words;
    for (let at = 0; at < this.#words; at += 1) into[at] = this.#bits[from + at] as number;
  }

  /** The number of a set: its old one, a new one, or -1 when it is new and there is no room. */
  numberOf(set: Int32Array): number {
    const mask = this.#slots.length - 1;
    let slot = this.#hash(set) & mask;
    for (let entry = this.#slots[slot] as number; entry !== 0;) {
      if (this.#equal(entry - 1, set)) return entry - 1;
      slot = (slot + 1) & mask;
      entry = this.#slots[slot] as number;
    }
    if (this.#count === this.statesMax) return -1;
    const state = this.#add(set);
    this.#slots[slot] = state + 1;
    if (this.#count * 2 > this.#slots.length) this.#spread();
    return state;
  }

  #add(set: Int32Array): number {
    const state = this.#count;
    const from = state * this.#words;
    if (from + this.#words > this.#bits.length) {
      const more = new Int32Array(this.#bits.length * 2);
      more.set(this.#bits);
      this.#bits = more;
    }
    this.#bits.set(set, from);
    this.#count += 1;
    return state;
  }

  #spread(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let state = 0; state < this.#count; state += 1) {
      const from = state * this.#words;
      let slot = this.#hash(this.#bits.subarray(from, from + this.#words)) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = state + 1;
    }
    this.#slots = slots;
  }

  #hash(set: Int32Array): number {
    let hash = 0;
    for (let at = 0; at < this.#words; at += 1) {
      hash = Math.imul(hash ^ (set[at] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  #equal(state: number, set: Int32Array): boolean {
    const from = state * this.#words;
    for (let at = 0; at < this.#words; at += 1) {
      if (this.#bits[from + at] !== set[at]) return false;
    }
    return true;
  }
}
