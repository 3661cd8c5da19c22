import type { ByteSource } from '@tidemark/core';
import { nextOf } from '../next-chunk.ts';

/** A piece of a body. */
export interface BodyPart {
  readonly bytes: Buffer;
  /** Nothing follows. */
  readonly last: boolean;
}

const FIRST_BYTES = 64 * 1024;

/**
 * Cuts a body of unknown length into parts; holds one part at a time.
 *
 * A body is read at most once. `close` lets go of one that is not wanted any more.
 */
export class BodyParts {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  /** Read, and not yet in a part. */
  #rest: Uint8Array = Buffer.alloc(0);

  constructor(body: ByteSource, signal: AbortSignal | undefined) {
    this.#iterator = body[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  /**
   * The next part: full, or what is left.
   * @param size - Bytes of a full part.
   * @throws What the body throws, as it is; the signal's reason, also while the body is silent.
   */
  async next(size: number): Promise<BodyPart> {
    let bytes: Buffer = Buffer.allocUnsafeSlow(Math.min(size, FIRST_BYTES));
    let length = 0;
    for (;;) {
      while (this.#rest.length > 0) {
        if (length === size) return { bytes, last: false };
        if (length === bytes.length) bytes = grown(bytes, Math.min(size, bytes.length * 2));
        const taken = this.#rest.subarray(0, bytes.length - length);
        bytes.set(taken, length);
        length += taken.length;
        this.#rest = this.#rest.subarray(taken.length);
      }
      const step = await nextOf(this.#iterator, this.#signal);
      if (step.done === true) return { bytes: bytes.subarray(0, length), last: true };
      this.#rest = step.value;
    }
  }

  /** A body that is silent may never hear of it; nobody waits for that. */
  close(): void {
    const closing = this.#iterator.return?.();
    closing?.catch(() => undefined);
  }
}

function grown(bytes: Buffer, size: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(size);
  bytes.copy(larger);
  return larger;
}
