/** Entries kept at once; the oldest half goes when there are more. */
const ENTRIES_MAX = 1 << 20;

/**
 * Tells where bytes of a filtered log stood in the log that they come from.
 *
 * One entry for each stretch that was taken as it is. Questions about offsets near the end are
 * answered; of very old ones the entries may be gone.
 */
export class OffsetMap {
  #out: number[] = [];
  #source: bigint[] = [];

  /** Notes that what stands at `out` and after it comes from `source` and after it. */
  note(out: number, source: bigint): void {
    if (this.#out.length >= ENTRIES_MAX) {
      this.#out = this.#out.slice(ENTRIES_MAX / 2);
      this.#source = this.#source.slice(ENTRIES_MAX / 2);
    }
    this.#out.push(out);
    this.#source.push(source);
  }

  /** Offset in the source of the byte at `out`; `null` before the first entry. */
  sourceOf(out: number): bigint | null {
    let low = 0;
    let high = this.#out.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#out[middle] as number) <= out) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return null;
    return (this.#source[low - 1] as bigint) + BigInt(out - (this.#out[low - 1] as number));
  }
}
