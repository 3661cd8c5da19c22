import { once } from 'node:events';
import { isOutputGone } from './standard-output.ts';

const FIRST_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/**
 * Writes many lines to the standard output without holding them: `line` gathers, `flush` writes and
 * waits until they are taken.
 */
export class LineWriter {
  /** Lines as bytes: as strings they would outlive many collections of the heap. */
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #used = 0;

  /** Whether nobody reads any more (`| head`): then there is no use in going on. */
  get closed(): boolean {
    return isOutputGone();
  }

  line(text: string): void {
    const most = this.#used + 3 * text.length + 1;
    if (most > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(most, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
    }
    this.#used += this.#bytes.write(text, this.#used);
    this.#bytes[this.#used] = NEWLINE;
    this.#used += 1;
  }

  /** @throws TidemarkError `TM_CANCELLED` when Ctrl-C comes while the reader is slow. */
  async flush(signal: AbortSignal): Promise<void> {
    if (this.#used === 0) return;
    const bytes = this.#bytes.subarray(0, this.#used);
    // The stream may keep what it was given.
    this.#bytes = Buffer.allocUnsafe(FIRST_BYTES);
    this.#used = 0;
    if (isOutputGone() || process.stdout.write(bytes)) return;
    try {
      await once(process.stdout, 'drain', { signal });
    } catch (cause) {
      signal.throwIfAborted();
      if (!isOutputGone()) throw cause;
    }
  }
}
