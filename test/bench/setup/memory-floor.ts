const EVERY_MS = 100;

/**
 * The least memory that a process held since the last look. What a collector has not yet freed
 * comes and goes by tens of megabytes; what leaks stays in the floor.
 */
export class Floor implements Disposable {
  readonly #residentBytes: () => number;
  readonly #timer: NodeJS.Timeout;
  #least = Infinity;

  constructor(residentBytes: () => number) {
    this.#residentBytes = residentBytes;
    this.#timer = setInterval(() => {
      this.#look();
    }, EVERY_MS);
  }

  /** In bytes, and begins anew. */
  take(): number {
    this.#look();
    const least = this.#least;
    this.#least = Infinity;
    return least;
  }

  #look(): void {
    this.#least = Math.min(this.#least, this.#residentBytes());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
