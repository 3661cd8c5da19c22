import { encodeInt64, encodeLength } from '../format/encode.ts';
import type { ListpackReader } from './listpack.ts';
import type { ValueCursor } from './value-cursor.ts';

/** Small enough that a sink copies what it is handed, so that the room can be used again. */
const ROOM_BYTES_MAX = 4000;
/** More than the longest integer takes. */
const ROOM_BYTES_MIN = 64;
/** Longer strings go their way without being gathered. */
const SHORT_BYTES_MAX = 1000;
/** Up to here a loop is faster than a call. */
const LOOP_BYTES_MAX = 40;

/** Writes the elements of a listpack one by one, gathered: none costs a buffer of its own. */
export class ElementWriter {
  readonly #cursor: ValueCursor;
  readonly #room: Buffer;
  #length = 0;

  constructor(cursor: ValueCursor, listpack: ListpackReader) {
    this.#cursor = cursor;
    const wanted = listpack.bytes.length + ROOM_BYTES_MIN;
    this.#room = Buffer.allocUnsafe(Math.min(wanted, ROOM_BYTES_MAX));
  }

  /** The entry that the reader stands at, as a string. */
  string(listpack: ListpackReader): void {
    const { bytes, textStart, textEnd } = listpack;
    if (textStart < 0) {
      const text = String(listpack.integer); // at most 20 characters
      const room = this.#reserve(text.length + 1);
      room[this.#length] = text.length;
      this.#length += 1 + room.write(text, this.#length + 1, 'latin1');
      return;
    }
    const length = textEnd - textStart;
    if (length > SHORT_BYTES_MAX || length + 2 > this.#room.length) {
      this.flush();
      this.#cursor.write(encodeLength(length));
      this.#cursor.write(bytes, textStart, textEnd);
      return;
    }
    const room = this.#reserve(length + 2);
    let at = this.#length;
    if (length >= 0x40) {
      room[at] = 0x40 | (length >> 8);
      at += 1;
    }
    room[at] = length & 0xff;
    at += 1;
    if (length > LOOP_BYTES_MAX) room.set(bytes.subarray(textStart, textEnd), at);
    else for (let i = 0; i < length; i += 1) room[at + i] = bytes[textStart + i] as number;
    this.#length = at + length;
  }

  /** Eight bytes, little endian. */
  double(value: number): void {
    const room = this.#reserve(8);
    this.#length = room.writeDoubleLE(value, this.#length);
  }

  /** Eight bytes, little endian; a safe integer. */
  int64(value: number): void {
    const room = this.#reserve(8);
    room.set(encodeInt64(value), this.#length);
    this.#length += 8;
  }

  /** To be called after the last element. */
  flush(): void {
    this.#cursor.write(this.#room, 0, this.#length);
    this.#length = 0;
  }

  #reserve(bytes: number): Buffer {
    if (this.#length + bytes > this.#room.length) this.flush();
    return this.#room;
  }
}
