import type { ChunkWriter } from './chunk-writer.ts';

/** Smaller pieces are copied together, so that many of them cost no more than their bytes. */
const COPY_BYTES_MAX = 4096;
const TAIL_BYTES = 64 * 1024;

/** The raw bytes of an unfinished command that were not handed on yet, by raw position. */
export class HeldCommand {
  private pieces: Buffer[] = [];
  /** The buffer that the last piece is a view of, when it was copied; null otherwise. */
  private tail: Buffer | null = null;
  private tailFilled = 0;
  /** Raw position of the first byte held. */
  start = 0;
  /** Bytes held. */
  bytes = 0;

  get end(): number {
    return this.start + this.bytes;
  }

  clear(): void {
    this.pieces = [];
    this.tail = null;
    this.start = 0;
    this.bytes = 0;
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.bytes += piece.length;
    if (piece.length < COPY_BYTES_MAX) this.addCopy(piece);
    else {
      this.tail = null;
      this.pieces.push(piece);
    }
  }

  private addCopy(piece: Buffer): void {
    if (this.tail === null || this.tailFilled + piece.length > TAIL_BYTES) {
      this.tail = Buffer.allocUnsafeSlow(TAIL_BYTES);
      this.tailFilled = 0;
    } else this.pieces.pop();
    piece.copy(this.tail, this.tailFilled);
    this.tailFilled += piece.length;
    this.pieces.push(this.tail.subarray(0, this.tailFilled));
  }

  /** Writes what stands before raw position `end`. */
  writeTo(end: number, writer: ChunkWriter): void {
    this.drop(end, (piece, length) => writer.write(piece, 0, length));
  }

  /** Leaves out what stands before raw position `end`. */
  skipTo(end: number): void {
    this.drop(end, () => undefined);
  }

  /** A copy of raw bytes that are still held. */
  slice(from: number, to: number): Buffer {
    const parts: Buffer[] = [];
    let at = this.start;
    for (const piece of this.pieces) {
      const first = Math.max(from - at, 0);
      const last = Math.min(to - at, piece.length);
      if (first < last) parts.push(piece.subarray(first, last));
      at += piece.length;
    }
    return Buffer.concat(parts);
  }

  private drop(end: number, each: (piece: Buffer, length: number) => void): void {
    let whole = 0;
    for (const piece of this.pieces) {
      const length = Math.min(piece.length, end - this.start);
      if (length <= 0) break;
      each(piece, length);
      this.start += length;
      this.bytes -= length;
      if (length < piece.length) {
        this.pieces[whole] = piece.subarray(length);
        break;
      }
      whole += 1;
    }
    this.pieces.splice(0, whole);
    // What is left of a copied piece is no longer what `addCopy` would make it.
    this.tail = null;
  }
}
