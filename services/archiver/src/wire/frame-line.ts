import { FRAME_BYTES_MAX } from '@tidemark/crypto';
import { spoolFailed } from './sealed-file.ts';

/** How late a small chunk reaches the operating system at most. */
const FLUSH_MS = 5;

/**
 * Gathers chunks into frames and writes them one after the other, while the next one is gathered.
 *
 * Memory: two buffers of 256 KiB, one that is gathered into and one that is written. After a write that failed every call
 * throws its error, and what was gathered is gone: whoever appends asks where to go on from.
 */
export class FrameLine {
  readonly #write: (data: Buffer) => Promise<void>;
  #stage = Buffer.alloc(0);
  /** The other buffer, free once the frame before is written. */
  #spare = Buffer.alloc(0);
  #staged = 0;
  #writing: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #failure: Error | null = null;

  /**
   * @param write - Writes one frame; never called before the call before has ended. The frame's bytes
   *   are used again after.
   */
  constructor(write: (data: Buffer) => Promise<void>) {
    this.#write = write;
  }

  /** Bytes that were taken and are not on the disk yet. */
  get waitingBytes(): number {
    return this.#staged + this.#waitingBytes;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  /** Takes a chunk; it may be used again after. Waits while two frames are under way. */
  async append(chunk: Uint8Array): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#stage.length === 0) {
      this.#stage = Buffer.allocUnsafeSlow(FRAME_BYTES_MAX);
      this.#spare = Buffer.allocUnsafeSlow(FRAME_BYTES_MAX);
    }
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + FRAME_BYTES_MAX - this.#staged);
      this.#stage.set(part, this.#staged);
      this.#staged += part.length;
      at += part.length;
      if (this.#staged < FRAME_BYTES_MAX) break;
      await this.#begin();
    }
    if (this.#staged > 0) this.#timer ??= setTimeout(() => void this.#flushLate(), FLUSH_MS);
  }

  /** Hands all that was taken to the operating system. */
  async flush(): Promise<void> {
    await this.#begin();
    await this.#writing;
    if (this.#failure !== null) throw this.#failure;
  }

  /** Ends without writing what is gathered. */
  async discard(): Promise<void> {
    this.#staged = 0;
    this.#stop();
    await this.#writing;
  }

  /** Starts to write what is gathered, once the frame before is written. */
  async #begin(): Promise<void> {
    this.#stop();
    let before;
    do {
      before = this.#writing;
      await before;
    } while (before !== this.#writing); // the timer may have begun the next one meanwhile
    if (this.#failure !== null) throw this.#failure;
    if (this.#staged === 0) return;
    const data = this.#takeStage();
    this.#waitingBytes = data.length;
    this.#writing = this.#writeOne(data);
  }

  async #writeOne(data: Buffer): Promise<void> {
    try {
      await this.#write(data);
    } catch (cause) {
      this.#failure = spoolFailed(cause);
      this.#staged = 0;
    }
    this.#waitingBytes = 0;
  }

  #takeStage(): Buffer {
    const data = this.#stage.subarray(0, this.#staged);
    this.#staged = 0;
    [this.#stage, this.#spare] = [this.#spare, this.#stage];
    return data;
  }

  async #flushLate(): Promise<void> {
    this.#timer = null;
    await this.#begin().catch(() => undefined); // the next call throws it
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
