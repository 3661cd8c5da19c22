/** Seeded random choices: the same seed gives the same sequence. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number in [0, 1). Mulberry32. */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number in [from, to]. */
  between(from: number, to: number): number {
    return from + Math.floor(this.fraction() * (to - from + 1));
  }

  /** True once in `times` on average. */
  once(times: number): boolean {
    return this.fraction() * times < 1;
  }

  pick<T>(list: readonly T[]): T {
    const chosen = list[Math.floor(this.fraction() * list.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  /** Bytes that do not compress. */
  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    let at = 0;
    for (; at + 4 <= length; at += 4) {
      bytes.writeUInt32LE(Math.floor(this.fraction() * 4_294_967_296), at);
    }
    for (; at < length; at++) bytes[at] = this.between(0, 255);
    return bytes;
  }
}

/** A seed for this run: from the environment to repeat one, else from the clock. Printed. */
export function chooseSeed(name: string): number {
  const given = process.env['TIDEMARK_TEST_SEED'];
  const seed = given === undefined ? Date.now() % 1_000_000_000 : Number(given);
  console.log(`${name}: seed ${seed} (TIDEMARK_TEST_SEED=${seed} repeats it)`);
  return seed;
}
