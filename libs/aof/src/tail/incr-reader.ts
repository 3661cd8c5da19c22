import { createHash } from 'node:crypto';
import { fstat, read } from 'node:fs';
import { promisify } from 'node:util';
import { DIGEST_BYTES_MAX, type TailCursor } from './model.ts';
import type { SeenFile } from './seen.ts';

const statFd = promisify(fstat);
const readFd = promisify(read);

/** What one read found. */
export type ReadOutcome =
  | { readonly kind: 'bytes'; readonly data: Buffer; readonly position: number }
  | { readonly kind: 'end' }
  /** The file is shorter than what was taken from it. */
  | { readonly kind: 'shrunk'; readonly size: number }
  /** The bytes before the position are not those that were taken. */
  | { readonly kind: 'diverged' };

/** SHA-256, hex, of the block before a cursor. */
export function digestOf(block: Uint8Array): string {
  return createHash('sha256').update(block).digest('hex');
}

/**
 * Reads one increment forward from a position while the server appends to it.
 *
 * Each read takes the last block once more and compares it with what was delivered, so that a file
 * that was cut and has grown again between two reads is noticed, not spliced.
 */
export class IncrReader {
  readonly file: SeenFile;
  readonly fd: number;
  #position: number;
  #block: Buffer;

  private constructor(file: SeenFile, fd: number, position: number, block: Buffer) {
    this.file = file;
    this.fd = fd;
    this.#position = position;
    this.#block = block;
  }

  /** A reader at the first byte. */
  static atStart(file: SeenFile, fd: number): IncrReader {
    return new IncrReader(file, fd, 0, Buffer.alloc(0));
  }

  /** A reader at a later position that needs no proof. */
  static async after(file: SeenFile, fd: number, position: number): Promise<IncrReader> {
    const block = Buffer.alloc(Math.min(DIGEST_BYTES_MAX, position));
    const got = await readAt(fd, block, position - block.length);
    return new IncrReader(file, fd, position, block.subarray(0, got));
  }

  /**
   * A reader at a cursor, or `null` when the bytes before it are not those of the cursor.
   * @param back - Bytes before the cursor that are read once more.
   */
  static async atCursor(
    file: SeenFile,
    fd: number,
    at: TailCursor,
    back = 0,
  ): Promise<IncrReader | null> {
    const length = at.digestBytes;
    if (back > at.position) return null;
    if (length > Math.min(DIGEST_BYTES_MAX, at.position)) return null;
    const block = Buffer.alloc(length);
    const got = await readAt(fd, block, at.position - length);
    if (got < length || digestOf(block) !== at.digest) return null;
    if (back > 0) return IncrReader.after(file, fd, at.position - back);
    return new IncrReader(file, fd, at.position, block);
  }

  /** Bytes taken from the file so far, from its first one. */
  get position(): number {
    return this.#position;
  }

  /** How many bytes before the position are known by heart: at most 4096. */
  get blockBytes(): number {
    return this.#block.length;
  }

  /** Whether the file is longer than what was taken. */
  async hasMore(): Promise<boolean> {
    return (await statFd(this.fd)).size > this.#position;
  }

  /** Where a later process can go on. */
  cursor(): TailCursor {
    const { name, seq, dev, ino } = this.file;
    const digest = digestOf(this.#block);
    const digestBytes = this.#block.length;
    return { file: name, seq, dev, ino, position: this.#position, digest, digestBytes };
  }

  /**
   * Reads what has been appended.
   * @param bytesMax - Upper bound of the chunk.
   */
  async read(bytesMax: number): Promise<ReadOutcome> {
    const { size } = await statFd(this.fd);
    if (size < this.#position) return { kind: 'shrunk', size };
    const wanted = Math.min(bytesMax, size - this.#position);
    if (wanted <= 0) return { kind: 'end' };
    const overlap = this.#block.length;
    const buffer = Buffer.allocUnsafeSlow(overlap + wanted);
    const got = await readAt(this.fd, buffer, this.#position - overlap);
    if (got < overlap) return { kind: 'shrunk', size: this.#position - overlap + got };
    if (this.#block.compare(buffer, 0, overlap) !== 0) return { kind: 'diverged' };
    if (got === overlap) return { kind: 'end' };
    const position = this.#position;
    this.#position += got - overlap;
    this.#block = Buffer.from(buffer.subarray(Math.max(0, got - DIGEST_BYTES_MAX), got));
    return { kind: 'bytes', data: buffer.subarray(overlap, got), position };
  }
}

async function readAt(fd: number, buffer: Buffer, position: number): Promise<number> {
  let length = 0;
  while (length < buffer.length) {
    const wanted = buffer.length - length;
    const { bytesRead } = await readFd(fd, buffer, length, wanted, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}
