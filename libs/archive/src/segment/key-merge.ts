import { formatError } from '../frames/byte-reader.ts';
import { DB_BYTES, INDEXED_KEY_MAX } from './key-table.ts';

const ROW_BYTES_MAX = DB_BYTES + INDEXED_KEY_MAX;
const SECTION = 'key index';

/** Where the entries of a key list stand. */
export interface KeyEntries {
  readonly bytes: Buffer;
  /** Position of the first entry, and how many there are. */
  readonly start: number;
  readonly count: number;
  readonly withFrames: boolean;
  readonly frameCount: number;
}

/** Told of a wanted row that is listed, by its place among the wanted, and its frames. */
export type FoundRowVisitor = (wanted: number, frames: readonly number[]) => void;

/** The row of a key in a list: database number, big endian, then the key. */
export function rowOf(db: number, key: Uint8Array): Buffer {
  const row = Buffer.allocUnsafe(DB_BYTES + key.length);
  row.writeInt32BE(db, 0);
  row.set(key, DB_BYTES);
  return row;
}

/**
 * Finds many rows in one pass over a key list, up to the last of them.
 * @param wanted - Rows in byte order (`Buffer.compare`).
 * @throws FormatError `TM_SEGMENT_FORMAT` for damage on the way.
 */
export function mergeKeys(
  entries: KeyEntries,
  wanted: readonly Buffer[],
  visit: FoundRowVisitor,
): void {
  const { count, withFrames } = entries;
  const cursor = new EntryCursor(entries);
  const row = Buffer.allocUnsafe(ROW_BYTES_MAX);
  let length = 0;
  let next = 0;
  let target = wanted[0];
  /** Leading bytes in which the entry before and the target agree; the entry before is less. */
  let matched = 0;
  for (let i = 0; i < count && target !== undefined; i += 1) {
    const shared = cursor.count(length, 'shared bytes');
    const rest = cursor.count(ROW_BYTES_MAX - shared, 'key length');
    cursor.copy(row, shared, rest);
    length = shared + rest;
    if (withFrames) cursor.markFrames();
    // It shares more with the entry before than the target does: it is less than the target too.
    if (shared > matched) continue;
    matched = shared;
    while (target !== undefined) {
      const most = Math.min(length, target.length);
      while (matched < most && row[matched] === target[matched]) matched += 1;
      const over = matched < most ? (row[matched] ?? 0) > (target[matched] ?? 0) : null;
      if (over === false || (over === null && length < target.length)) break;
      if (over === null && length === target.length) {
        visit(next, withFrames ? cursor.frames() : [0]);
      }
      next += 1;
      target = wanted[next];
      matched = 0;
    }
  }
}

/** Reads numbers and bytes of the list; every read is checked. */
class EntryCursor {
  readonly #bytes: Buffer;
  readonly #frameCount: number;
  #at: number;
  #framesAt = 0;

  constructor({ bytes, start, frameCount }: KeyEntries) {
    this.#bytes = bytes;
    this.#at = start;
    this.#frameCount = frameCount;
  }

  count(max: number, what: string): number {
    const value = this.#varint();
    if (value > max) this.#fail(`${what} ${value} exceeds ${max}`);
    return value;
  }

  copy(to: Buffer, at: number, length: number): void {
    const end = this.#at + length;
    if (end > this.#bytes.length) this.#fail(`${length} bytes needed`);
    for (let from = this.#at, into = at; from < end; from += 1, into += 1) {
      to[into] = this.#bytes[from] as number;
    }
    this.#at = end;
  }

  /** Passes the frames of an entry; `frames` reads them. */
  markFrames(): void {
    this.#framesAt = this.#at;
    const head = this.#varint();
    if (head % 2 === 0) return;
    for (let left = this.#frameCountOf(head); left > 0; left -= 1) this.#varint();
  }

  frames(): readonly number[] {
    const after = this.#at;
    this.#at = this.#framesAt;
    const head = this.#varint();
    const frames: number[] = [];
    if (head % 2 === 0) frames.push(head / 2);
    else {
      let frame = -1;
      for (let left = this.#frameCountOf(head); left > 0; left -= 1) {
        frame += this.#varint() + 1;
        frames.push(frame);
      }
    }
    const last = frames.at(-1) ?? 0;
    if (last >= this.#frameCount) this.#fail(`frame ${last} of ${this.#frameCount}`);
    this.#at = after;
    return frames;
  }

  #frameCountOf(head: number): number {
    const count = (head - 1) / 2;
    if (count < 1 || count > this.#frameCount) this.#fail(`${count} frames`);
    return count;
  }

  #varint(): number {
    const first = this.#bytes[this.#at];
    if (first === undefined) return this.#fail('1 bytes needed, 0 left');
    this.#at += 1;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let i = 1; i < 8; i += 1) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) return this.#fail('1 bytes needed, 0 left');
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        return value > Number.MAX_SAFE_INTEGER ? this.#fail('number over 2^53') : value;
      }
      scale *= 0x80;
    }
    return this.#fail('number longer than 8 bytes');
  }

  #fail(message: string): never {
    throw formatError('segment', `${SECTION}: ${message}`, this.#at, { section: SECTION });
  }
}
