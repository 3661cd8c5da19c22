import { UsageError, type ByteSource } from '@tidemark/core';
import { keyOfText } from './key-text.ts';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);

/** Upper bounds of a file of keys, inclusive. */
export interface KeysFileLimits {
  readonly linesMax: number;
  readonly bytesMax: number;
}

const LIMITS: KeysFileLimits = { linesMax: 10_000_000, bytesMax: 512 * 1024 * 1024 };

/**
 * Reads a file of keys: one on each line, which ends in `\n` or `\r\n`; the escapes are those of
 * {@link keyOfText}; empty lines and a byte order mark at the start are skipped.
 * @param source - Its bytes; a piece may be reused once the next is asked for.
 * @throws UsageError `TM_SELECTOR_SYNTAX` (context: pattern, position, line); `TM_LIMIT` for a file of over
 *   10 million lines or 512 MiB.
 */
export async function readKeys(
  source: ByteSource,
  limits: KeysFileLimits = LIMITS,
): Promise<Buffer[]> {
  const reader = new LineReader(limits);
  for await (const chunk of source) reader.push(Buffer.from(chunk));
  return reader.end();
}

class LineReader {
  readonly #limits: KeysFileLimits;
  readonly #keys: Buffer[] = [];
  /** Pieces of a line whose end has not come. */
  #open: Buffer[] = [];
  #lines = 0;
  #bytes = 0;

  constructor(limits: KeysFileLimits) {
    this.#limits = limits;
  }

  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#bound('bytes', this.#bytes, this.#limits.bytesMax);
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      this.#line(chunk.subarray(from, end));
      from = end + 1;
    }
    if (from < chunk.length) this.#open.push(chunk.subarray(from));
  }

  end(): Buffer[] {
    if (this.#open.length > 0) this.#line(Buffer.alloc(0));
    return this.#keys;
  }

  #line(last: Buffer): void {
    let line = last;
    if (this.#open.length > 0) {
      line = Buffer.concat([...this.#open, last]);
      this.#open = [];
    }
    this.#lines += 1;
    this.#bound('lines', this.#lines, this.#limits.linesMax);
    if (line.at(-1) === CARRIAGE_RETURN) line = line.subarray(0, -1);
    if (this.#lines === 1 && line.subarray(0, 3).equals(BYTE_ORDER_MARK)) line = line.subarray(3);
    if (line.length > 0) this.#keys.push(keyOfText(line, this.#lines));
  }

  #bound(what: keyof typeof UNITS, count: number, max: number): void {
    if (count <= max) return;
    const limit = max.toString();
    throw new UsageError('TM_LIMIT', `a file of keys with over ${limit} ${UNITS[what]}`, {
      context: { [what]: count, [`${what}Max`]: max },
      hint: 'name the keys by a pattern, or split the file and run once for each part',
    });
  }
}

const UNITS = { bytes: 'bytes', lines: 'lines' } as const;
