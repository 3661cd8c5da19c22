interface Insertion {
  /** Command bytes that were sent before it. */
  readonly at: bigint;
  bytes: bigint;
}

const INSERTIONS_MAX = 1024;

/**
 * Maps replication offsets to positions in the caller's command stream.
 *
 * Keepalives and GETACK that the feed puts between commands count in the replication offset but are
 * no part of the stream. After a broken link the server names the offset of the last command that it
 * applied; what was inserted after that is forgotten and need not be sent again.
 */
export class StreamLedger {
  #floor: bigint;
  /** Command bytes at the floor. */
  #floorCommands = 0n;
  #commands = 0n;
  #inserted = 0n;
  readonly #base: bigint;
  readonly #insertions: Insertion[] = [];

  /** @param base - Replication offset before the first byte. */
  constructor(base: bigint) {
    this.#base = base;
    this.#floor = base;
  }

  /** Command bytes sent. */
  get commandBytes(): bigint {
    return this.#commands;
  }

  /** Replication offset of the last byte sent. */
  get sent(): bigint {
    return this.#base + this.#commands + this.#inserted;
  }

  /** Notes bytes of the command stream. */
  addCommands(byteCount: number): void {
    this.#commands += BigInt(byteCount);
  }

  /** Notes bytes of our own at the present position. */
  insert(byteCount: number): void {
    const last = this.#insertions.at(-1);
    if (last?.at === this.#commands) last.bytes += BigInt(byteCount);
    else this.#insertions.push({ at: this.#commands, bytes: BigInt(byteCount) });
    this.#inserted += BigInt(byteCount);
    if (this.#insertions.length > INSERTIONS_MAX) this.#settleOldest();
  }

  /**
   * Starts at an offset that an earlier feed reached, which put nothing of its own among the
   * commands: what is beyond the base is command stream (or, after all of it, GETACK).
   */
  static at(base: bigint, offset: bigint): StreamLedger {
    const ledger = new StreamLedger(base);
    ledger.#commands = offset - base;
    return ledger;
  }

  /** Whether the stream can go on after this offset. */
  covers(offset: bigint): boolean {
    return offset >= this.#floor && offset <= this.sent;
  }

  /**
   * Goes back to an offset that the server has reached: the end of a command or of an insertion.
   * @returns The position in the command stream to go on from, or `null` when it is not covered.
   */
  rewind(offset: bigint): bigint | null {
    if (!this.covers(offset)) return null;
    while (offset < this.sent) {
      const last = this.#insertions.at(-1);
      const tail = this.#commands - (last?.at ?? this.#floorCommands);
      const excess = this.sent - offset;
      if (tail > 0n) this.#commands -= excess < tail ? excess : tail;
      else if (last !== undefined) this.#shorten(last, excess);
    }
    return this.#commands;
  }

  #shorten(last: Insertion, excess: bigint): void {
    const less = excess < last.bytes ? excess : last.bytes;
    last.bytes -= less;
    this.#inserted -= less;
    if (last.bytes === 0n) this.#insertions.pop();
  }

  /** Offsets before the oldest insertion's end are given up, so that the list stays short. */
  #settleOldest(): void {
    const oldest = this.#insertions.shift();
    if (oldest === undefined) return;
    this.#floor += oldest.at - this.#floorCommands + oldest.bytes;
    this.#floorCommands = oldest.at;
  }
}
