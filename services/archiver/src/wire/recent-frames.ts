import type { StreamFile } from './wire-ledger.ts';

const BYTES_MAX = 4 * 1024 * 1024;
const FRAMES_MAX = 1024;
/** Taken frames are let go of in batches. */
const COMPACT_AT = 512;

/** A frame that was just written. */
export interface RecentFrame {
  readonly file: StreamFile;
  /** Offset of the byte before its first. */
  readonly position: bigint;
  readonly data: Buffer;
  /** Place and number of the frame after it, for who falls back to the file. */
  readonly nextOffset: number;
  readonly nextNumber: number;
}

/** The newest frames, kept in memory so that a reader that keeps up need not read the disk. */
export class RecentFrames {
  #frames: RecentFrame[] = [];
  #first = 0;
  #bytes = 0;

  push(frame: RecentFrame): void {
    this.#frames.push(frame);
    this.#bytes += frame.data.length;
    while (this.#bytes > BYTES_MAX || this.#frames.length - this.#first > FRAMES_MAX) {
      this.#bytes -= this.#frames[this.#first++]?.data.length ?? 0;
    }
    if (this.#first < COMPACT_AT) return;
    this.#frames = this.#frames.slice(this.#first);
    this.#first = 0;
  }

  /** The frame of a file that holds the byte after a position. */
  find(file: StreamFile, position: bigint): RecentFrame | null {
    let [low, high] = [this.#first, this.#frames.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const frame = this.#frames[middle];
      if (frame === undefined) return null;
      if (frame.position > position) high = middle - 1;
      else if (frame.position + BigInt(frame.data.length) <= position) low = middle + 1;
      else return frame.file === file ? frame : null;
    }
    return null;
  }

  /** Forgets all: positions of another history do not compare. */
  clear(): void {
    this.#frames = [];
    this.#first = 0;
    this.#bytes = 0;
  }
}
