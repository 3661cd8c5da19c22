/** Members of one value that are remembered; above that repeated ones are no longer looked for. */
const MEMBERS_MAX = 1024 * 1024;
const SLOTS_FIRST = 64;
/**
 * Slots that are looked at for a member. Chance does not fill so many in a row; a file made so that
 * hashes meet does, and is then no longer compared instead of taking hours.
 */
const PROBES_MAX = 256;
/** A table above this size is given back when the next value begins. */
const SLOTS_KEPT = 4096;

/**
 * Remembers which members a value had, by a hash of 64 bits: 16 to 48 bytes a member, whatever its
 * size. Two of a million members have the same hash by chance once in 30 million values.
 */
export class MemberTable {
  /** Members in the table. */
  count = 0;
  /** Whether a member could not be remembered. */
  overflowed = false;
  #slots = SLOTS_FIRST;
  #high = new Int32Array(SLOTS_FIRST);
  #low = new Int32Array(SLOTS_FIRST);
  /** 0 = free slot, else one more than the mark of the member. */
  #marks = new Int32Array(SLOTS_FIRST);
  #hashHigh = 0;
  #hashLow = 0;

  clear(): void {
    if (this.#slots > SLOTS_KEPT) this.#allocate(SLOTS_FIRST);
    else if (this.count > 0) this.#marks.fill(0);
    this.count = 0;
    this.overflowed = false;
  }

  /**
   * Adds the member `bytes[start..end)`.
   * @returns Whether it is new; true also when it cannot be told any more (`overflowed`).
   */
  add(bytes: Uint8Array, start: number, end: number): boolean {
    this.#hash(bytes, start, end);
    const slot = this.#slotOf(this.#hashHigh, this.#hashLow);
    if (slot >= 0 && this.#marks[slot] !== 0) return false;
    if (slot < 0 || this.count >= MEMBERS_MAX) {
      this.overflowed = true;
      return true;
    }
    this.#put(slot, this.#hashHigh, this.#hashLow, 1);
    this.count += 1;
    if (this.count * 2 > this.#slots) this.#grow();
    return true;
  }

  /**
   * Gives the member a mark above 0.
   * @returns Its mark before (0 = none yet), or -1 when it is not in the table.
   */
  mark(bytes: Uint8Array, start: number, end: number, mark: number): number {
    this.#hash(bytes, start, end);
    const slot = this.#slotOf(this.#hashHigh, this.#hashLow);
    if (slot < 0) return -1;
    const before = (this.#marks[slot] as number) - 1;
    if (before >= 0) this.#marks[slot] = mark + 1;
    return before;
  }

  #put(slot: number, high: number, low: number, mark: number): void {
    this.#high[slot] = high;
    this.#low[slot] = low;
    this.#marks[slot] = mark;
  }

  /** Where a member is, or a free slot for it; -1 when too many stand in its place. */
  #slotOf(high: number, low: number): number {
    const mask = this.#slots - 1;
    let slot = low & mask;
    for (let left = PROBES_MAX; left > 0; left -= 1) {
      if (this.#marks[slot] === 0) return slot;
      if (this.#low[slot] === low && this.#high[slot] === high) return slot;
      slot = (slot + 1) & mask;
    }
    return -1;
  }

  #allocate(slots: number): void {
    this.#slots = slots;
    this.#high = new Int32Array(slots);
    this.#low = new Int32Array(slots);
    this.#marks = new Int32Array(slots);
  }

  #grow(): void {
    const [high, low, marks] = [this.#high, this.#low, this.#marks];
    this.#allocate(this.#slots * 2);
    for (let at = 0; at < marks.length; at += 1) {
      if (marks[at] === 0) continue;
      const [itsHigh, itsLow] = [high[at] as number, low[at] as number];
      const slot = this.#slotOf(itsHigh, itsLow);
      if (slot >= 0) this.#put(slot, itsHigh, itsLow, marks[at] as number);
      else this.overflowed = true;
    }
  }

  /** Two independent halves, four bytes at a time; each step is one to one in its word. */
  #hash(bytes: Uint8Array, start: number, end: number): void {
    let high = 0x2f0b4c47 ^ (end - start);
    let low = 0x1b56c4e9 + (end - start);
    let at = start;
    for (; at + 4 <= end; at += 4) {
      const word =
        (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24);
      high = Math.imul(high ^ word, 0x2c1b3c6d);
      high = (high << 15) | (high >>> 17);
      low = Math.imul(low + word, 0x297a2d39);
      low ^= low >>> 13;
    }
    for (; at < end; at += 1) {
      high = Math.imul(high ^ (bytes[at] as number), 0x2c1b3c6d);
      high = (high << 15) | (high >>> 17);
      low = Math.imul(low + (bytes[at] as number), 0x297a2d39);
      low ^= low >>> 13;
    }
    high = Math.imul(high ^ (high >>> 16), 0x7feb352d);
    low = Math.imul(low ^ (low >>> 15), 0x3d4d51cb);
    this.#hashHigh = high ^ (high >>> 15);
    this.#hashLow = low ^ (low >>> 16);
  }
}
