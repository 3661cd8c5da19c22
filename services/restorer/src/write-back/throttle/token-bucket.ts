/**
 * Tokens that come at a steady rate. What is taken may exceed what is there: the debt is waited for
 * before the next is given, so that a batch larger than the bucket goes too and the rate holds.
 */
export class TokenBucket {
  /** A tenth of a second: what may go at once after a pause. */
  readonly capacity: number;
  readonly #perMs: number;
  #tokens: number;
  #filledMs: number;

  /**
   * @param perSecond - Tokens that come in a second.
   * @param nowMs - Monotonic milliseconds.
   */
  constructor(perSecond: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.capacity = Math.max(1, Math.floor(perSecond / 10));
    this.#tokens = this.capacity;
    this.#filledMs = nowMs;
  }

  /** Takes tokens. @returns Milliseconds to wait before they may be used. */
  take(count: number, nowMs: number): number {
    const gained = Math.max(0, nowMs - this.#filledMs) * this.#perMs;
    this.#tokens = Math.min(this.capacity, this.#tokens + gained);
    this.#filledMs = nowMs;
    const lacking = Math.min(count, this.capacity) - this.#tokens;
    this.#tokens -= count;
    return lacking > 0 ? lacking / this.#perMs : 0;
  }
}
