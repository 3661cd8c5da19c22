import { Crc64 } from '@tidemark/core';

const ROOM_BYTES = 65_536;
/** From here on a range is handed on as a view instead of being copied. */
const VIEW_BYTES = 8192;

/** Gathers the bytes of an RDB that is being written, with their checksum. */
export class RdbOutput {
  readonly #crc = new Crc64();
  #room: Buffer = Buffer.allocUnsafe(ROOM_BYTES);
  /** What lies in `#room` and was not handed on: `#from..#to`. */
  #from = 0;
  #to = 0;
  #ready: Uint8Array[] = [];
  #bytes = 0;

  /** Bytes written so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Writes `bytes[start..end)`; a long range is kept as a view. */
  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const length = end - start;
    if (length <= 0) return;
    this.#bytes += length;
    if (length >= VIEW_BYTES) {
      this.#release();
      this.#hand(bytes.subarray(start, end));
      return;
    }
    if (this.#to + length > ROOM_BYTES) {
      this.#release();
      this.#room = Buffer.allocUnsafe(ROOM_BYTES);
      this.#from = 0;
      this.#to = 0;
    }
    this.#room.set(bytes.subarray(start, end), this.#to);
    this.#to += length;
  }

  /** Writes the checksum of everything before it; nothing may follow. */
  writeChecksum(): void {
    this.#release();
    this.write(this.#crc.digestBytes());
  }

  /** Chunks that are ready; what lies in the room stays until it is full or `all` is set. */
  take(all = false): readonly Uint8Array[] {
    if (all) this.#release();
    const ready = this.#ready;
    if (ready.length > 0) this.#ready = [];
    return ready;
  }

  #release(): void {
    if (this.#to === this.#from) return;
    this.#hand(this.#room.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  #hand(bytes: Uint8Array): void {
    this.#crc.update(bytes);
    this.#ready.push(bytes);
  }
}
