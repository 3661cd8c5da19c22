import type { StreamFile } from './wire-ledger.ts';

const BYTES_MAX = 4 * 1024 * 1024;
const FRAMES_MAX = 1024;
/** Frames that went are cut off the list in batches. */
const COMPACT_AT = 512;

/** A frame that was just written. */
export interface RecentFrame {
  readonly file: StreamFile;
  /** Offset of the byte before its first. */
  readonly position: bigint;
  readonly length: number;
  /** Place and number of the frame after it, for who falls back to the file. */
  readonly nextOffset: number;
  readonly nextNumber: number;
}

/** One that lies in memory. */
interface KeptFrame extends RecentFrame {
  /** Where it lies in the ring. */
  readonly at: number;
}

/**
 * The newest frames, kept in memory so that a reader that keeps up need not read the disk.
 *
 * They lie in one ring of 4 MiB and are copied in and out: at wire speed a buffer for each frame
 * would leave more garbage behind than the archiver may hold.
 */
export class RecentFrames {
  #bytes = Buffer.alloc(0);
  #frames: KeptFrame[] = [];
  #first = 0;
  /** Where the next frame goes; older ones lie from here on around the ring. */
  #at = 0;

  /** @param data - The frame's bytes; they are copied. */
  push(frame: RecentFrame, data: Buffer): void {
    if (this.#bytes.length === 0) this.#bytes = Buffer.allocUnsafeSlow(BYTES_MAX);
    if (this.#at + data.length > BYTES_MAX) {
      this.#dropFrom(this.#at);
      this.#at = 0;
    }
    const at = this.#at;
    this.#dropWithin(at, at + data.length);
    data.copy(this.#bytes, at);
    this.#frames.push({ ...frame, at });
    this.#at += data.length;
    if (this.#frames.length - this.#first > FRAMES_MAX) this.#first += 1;
    if (this.#first < COMPACT_AT) return;
    this.#frames = this.#frames.slice(this.#first);
    this.#first = 0;
  }

  /** The frame of a file that holds the byte after a position. */
  find(file: StreamFile, position: bigint): KeptFrame | null {
    let [low, high] = [this.#first, this.#frames.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const frame = this.#frames[middle];
      if (frame === undefined) return null;
      if (frame.position > position) high = middle - 1;
      else if (frame.position + BigInt(frame.length) <= position) low = middle + 1;
      else return frame.file === file ? frame : null;
    }
    return null;
  }

  /** A copy of the bytes of a frame that was found just now. */
  bytesOf({ at, length }: KeptFrame): Buffer {
    return Buffer.from(this.#bytes.subarray(at, at + length));
  }

  /** Forgets all: positions of another history do not compare. */
  clear(): void {
    this.#frames = [];
    this.#first = 0;
    this.#at = 0;
  }

  /** What lies behind here is of the lap before, so it is the oldest. */
  #dropFrom(at: number): void {
    while ((this.#frames[this.#first]?.at ?? -1) >= at) this.#first += 1;
  }

  #dropWithin(start: number, end: number): void {
    for (;;) {
      const oldest = this.#frames[this.#first];
      if (oldest === undefined || oldest.at >= end || oldest.at + oldest.length <= start) return;
      this.#first += 1;
    }
  }
}
