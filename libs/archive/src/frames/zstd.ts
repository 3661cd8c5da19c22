import { UsageError } from '@tidemark/core';
import binding from 'zstd-napi/binding.js';

/** Largest number of raw bytes in one frame. */
export const FRAME_RAW_MAX = 1_048_576;

/**
 * Largest number of packed bytes of one frame: zstd's bound for `FRAME_RAW_MAX` raw bytes
 * (zstd.h, ZSTD_COMPRESSBOUND). A number of the format, so it does not follow the library.
 */
export const FRAME_PACKED_MAX = 1_052_672;

/** Bytes before a frame's packed content: raw and packed length, 32 bits each, big endian. */
export const FRAME_HEAD_BYTES = 8;

/** The zstd level used when none is named. */
const LEVEL_DEFAULT = 1;

const LEVEL_MAX = 19;

/** Packs frames with one zstd context; every call is whole in itself, so it may be shared. */
export class FramePacker {
  readonly #context = new binding.CCtx();
  #scratch: Buffer = Buffer.allocUnsafeSlow(0);

  /** @param level - zstd compression level, 1 to 19. */
  constructor(level: number) {
    this.#context.setParameter(binding.CParameter.compressionLevel, level);
  }

  /**
   * @param raw - 1 to `FRAME_RAW_MAX` bytes; not kept.
   * @returns The frame with its head, in a buffer of its own.
   */
  pack(raw: Uint8Array): Buffer {
    const bound = binding.compressBound(raw.length);
    if (this.#scratch.length < bound) this.#scratch = Buffer.allocUnsafeSlow(bound);
    const packed = this.#context.compress2(this.#scratch, raw);
    const frame = Buffer.allocUnsafeSlow(FRAME_HEAD_BYTES + packed);
    writeHead(frame, raw.length, packed);
    frame.set(this.#scratch.subarray(0, packed), FRAME_HEAD_BYTES);
    return frame;
  }

  /**
   * The same into a buffer of the caller's, so that nothing is copied.
   * @param target - At least `packedBytesMax(raw.length)` bytes.
   * @returns The frame with its head, the front of `target`.
   */
  packInto(raw: Uint8Array, target: Buffer): Buffer {
    const packed = this.#context.compress2(target.subarray(FRAME_HEAD_BYTES), raw);
    writeHead(target, raw.length, packed);
    return target.subarray(0, FRAME_HEAD_BYTES + packed);
  }
}

/** Bytes that a frame of so many raw bytes has at most, with its head. */
export function packedBytesMax(rawBytes: number): number {
  return FRAME_HEAD_BYTES + binding.compressBound(rawBytes);
}

function writeHead(frame: Buffer, rawBytes: number, packedBytes: number): void {
  frame.writeUInt32BE(rawBytes, 0);
  frame.writeUInt32BE(packedBytes, 4);
}

const packers = new Map<number, FramePacker>();

/**
 * The packer of a level; one is kept for each, because a zstd context is costly to make.
 * @throws UsageError `TM_USAGE` for a level that is not in 1 to 19.
 */
export function packerOf(level: number = LEVEL_DEFAULT): FramePacker {
  if (!Number.isInteger(level) || level < 1 || level > LEVEL_MAX) {
    throw new UsageError('TM_USAGE', `zstd level ${level} is not in 1..${LEVEL_MAX}`);
  }
  const packer = packers.get(level) ?? new FramePacker(level);
  packers.set(level, packer);
  return packer;
}

/** Unpacks frames with one zstd context. */
export class FrameUnpacker {
  readonly #context = new binding.DCtx();

  /**
   * Unpacks into exactly the bytes given: zstd writes no more than that, and in this one-pass form
   * it allocates no window, so that a hostile frame cannot make memory grow.
   * @returns False when the frame is damaged or gives another number of bytes.
   */
  unpack(packed: Uint8Array, target: Uint8Array): boolean {
    try {
      return this.#context.decompress(target, packed) === target.length;
    } catch {
      return false;
    }
  }
}
