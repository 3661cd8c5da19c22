import { TidemarkError } from '@tidemark/core';

const NEWLINE = 0x0a;

/** Cuts bytes of a pipe into lines. A line that is not ended is none. */
export class Lines {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  /** @param bytesMax - Of one line. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * Takes the next bytes.
   * @returns The lines that they end, without their ends.
   * @throws TidemarkError `TM_LIMIT` for a line that is too long.
   */
  push(chunk: Buffer): readonly string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      lines.push(Buffer.concat(this.#parts).toString('utf8'));
      this.#parts = [];
      this.#bytes = 0;
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#bytesMax) {
      throw new TidemarkError('TM_LIMIT', 'a line between two processes is too long', {
        context: { bytes: this.#bytes, bytesMax: this.#bytesMax },
      });
    }
    if (part.length > 0) this.#parts.push(part);
  }
}
