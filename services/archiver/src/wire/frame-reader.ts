import { open, type FileHandle } from 'node:fs/promises';
import { FormatError, IntegrityError, KeyError, TidemarkError } from '@tidemark/core';
import {
  FRAME_COMMITMENT_BYTES,
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD_BYTES,
  FrameCipher,
  parseFrameHead,
  type DataKey,
} from '@tidemark/crypto';
import { HEADER_BYTES_MAX, parseWireHeader, type WireHeader } from './wire-header.ts';

/** Above the longest frame. */
const READ_BYTES = 1024 * 1024;

/** A frame that authenticated. */
export interface OpenedFrame {
  readonly kind: number;
  /** In a buffer of its own. */
  readonly data: Buffer;
}

/** Reads the frames of one file in order; each is proven before it is given out. Memory: 1 MiB. */
export class FrameReader implements AsyncDisposable {
  readonly header: WireHeader;
  readonly #file: FileHandle;
  readonly #cipher: FrameCipher;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Bytes of the buffer that hold what follows `#offset`. */
  #bufferStart = 0;
  #bufferEnd = 0;
  #offset: number;
  #number = 0;

  private constructor(o: {
    file: FileHandle;
    header: WireHeader;
    cipher: FrameCipher;
    at: number;
  }) {
    this.#file = o.file;
    this.header = o.header;
    this.#cipher = o.cipher;
    this.#offset = o.at;
  }

  /**
   * Opens a file and proves its header.
   * @throws FormatError `TM_SEAL_FORMAT`; KeyError `TM_KEY_WRONG`; IntegrityError
   *   `TM_SEAL_COMMITMENT`; an error of the disk.
   */
  static async open(path: string, key: DataKey): Promise<FrameReader> {
    const file = await open(path, 'r');
    let cipher: FrameCipher | null = null;
    try {
      const front = Buffer.alloc(HEADER_BYTES_MAX + FRAME_COMMITMENT_BYTES);
      const { bytesRead } = await file.read(front, 0, front.length, 0);
      const { header, length } = parseWireHeader(front.subarray(0, bytesRead));
      if (header.keyId !== key.id) {
        throw new KeyError('TM_KEY_WRONG', 'a file of the wire spool is sealed with another key', {
          context: { expected: header.keyId, actual: key.id },
        });
      }
      const at = length + FRAME_COMMITMENT_BYTES;
      cipher = new FrameCipher({
        dataKey: key,
        header: front.subarray(0, length),
        salt: header.salt,
      });
      cipher.assertCommitment(front.subarray(length, Math.min(at, bytesRead)));
      return new FrameReader({ file, header, cipher, at });
    } catch (cause) {
      cipher?.destroy();
      await file.close();
      throw cause;
    }
  }

  /** Place of the next frame in the file. */
  get offset(): number {
    return this.#offset;
  }

  /** Number of the next frame. */
  get number(): number {
    return this.#number;
  }

  /** Goes to a frame whose place is known. */
  seek(offset: number, number: number): void {
    this.#bufferStart += offset - this.#offset;
    if (this.#bufferStart < 0 || this.#bufferStart > this.#bufferEnd) {
      this.#bufferStart = 0;
      this.#bufferEnd = 0;
    }
    this.#offset = offset;
    this.#number = number;
  }

  /**
   * Goes to the last frame of a file, whose plain length is known.
   * @throws As {@link next}; whether the number that it says is right is shown by opening it.
   */
  async seekLast(size: number, plainBytes: number): Promise<void> {
    const offset = size - FRAME_OVERHEAD_BYTES - plainBytes;
    if (offset < this.#offset) throw truncated(size);
    this.seek(offset, 0);
    this.#number = parseFrameHead(await this.#take(FRAME_HEAD_BYTES, size)).number;
  }

  /**
   * @param limit - Bytes of the file that may be looked at.
   * @returns The next frame; null exactly at the limit.
   * @throws FormatError `TM_SEAL_…`, IntegrityError `TM_SEAL_CHUNK`, `TM_SEAL_TRUNCATED` for what is no
   *   whole frame: the reader then stands before it.
   */
  async next(limit: number): Promise<OpenedFrame | null> {
    if (this.#offset === limit) return null;
    const head = parseFrameHead(await this.#take(FRAME_HEAD_BYTES, limit));
    if (head.number !== this.#number) {
      throw new FormatError('TM_SEAL_FORMAT', 'a frame of another place', {
        context: { offset: this.#offset, expected: this.#number, actual: head.number },
      });
    }
    const size = FRAME_OVERHEAD_BYTES + head.length;
    const data = this.#cipher.open(await this.#take(size, limit), head);
    this.#bufferStart += size;
    this.#offset += size;
    this.#number += 1;
    return { kind: head.kind, data };
  }

  /** The bytes from `#offset` on; the reader stays there. */
  async #take(count: number, limit: number): Promise<Buffer> {
    while (this.#bufferEnd - this.#bufferStart < count) {
      this.#buffer.copy(this.#buffer, 0, this.#bufferStart, this.#bufferEnd);
      this.#bufferEnd -= this.#bufferStart;
      this.#bufferStart = 0;
      const from = this.#offset + this.#bufferEnd;
      const room = Math.min(READ_BYTES - this.#bufferEnd, limit - from);
      const { bytesRead } =
        room > 0
          ? await this.#file.read(this.#buffer, this.#bufferEnd, room, from)
          : { bytesRead: 0 };
      if (bytesRead === 0) throw truncated(from);
      this.#bufferEnd += bytesRead;
    }
    return this.#buffer.subarray(this.#bufferStart, this.#bufferStart + count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cipher.destroy();
    await this.#file.close();
  }
}

function truncated(offset: number): IntegrityError {
  return new IntegrityError('TM_SEAL_TRUNCATED', 'the file ends within a frame', {
    context: { offset },
  });
}

/**
 * For what is read again at a start: damage gives null.
 * @throws What is wrong with our rights to the disk, or with us: that is no damage.
 */
export function nullIfDamaged(cause: unknown): null {
  const onDisk = cause instanceof Error && 'code' in cause && cause.code === 'EIO';
  if (onDisk || cause instanceof TidemarkError) return null;
  throw cause;
}
