import { ByteReader, type ArchiveFormat } from '../frames/byte-reader.ts';
import { ByteWriter } from '../frames/byte-writer.ts';
import { DB_BYTES, INDEXED_KEY_MAX, type KeyTable } from './key-table.ts';
import { mergeKeys, type FoundRowVisitor } from './key-merge.ts';
import { sortedRows } from './key-sort.ts';

/** Upper bound of the content of a key index, in bytes. */
export const KEY_INDEX_BYTES_MAX = 96 * 1_048_576;

const FLAG_FRAMES = 1;
const ROW_BYTES_MAX = DB_BYTES + INDEXED_KEY_MAX;
const FORMAT: ArchiveFormat = 'segment';

/**
 * Encodes the key list: (db, key) in byte order, each as the number of bytes shared with the one
 * before and the rest, then its frames. With one frame only, frames are left out.
 * @returns Null when it would be larger than `bytesMax`.
 * @see docs/formats/segment.md, "Key index"
 */
export function encodeKeyIndex(
  table: KeyTable,
  frameCount: number,
  bytesMax: number = KEY_INDEX_BYTES_MAX,
): Buffer | null {
  const writer = new ByteWriter(Math.min(bytesMax, KEY_INDEX_BYTES_MAX), 4096);
  const withFrames = frameCount > 1;
  writer.u8(withFrames ? FLAG_FRAMES : 0);
  writer.varint(table.count);
  const { arena } = table;
  const frames = new Int32Array(frameCount);
  let before = 0;
  let beforeLength = 0;
  for (const row of sortedRows(table)) {
    if (writer.overflowed) return null;
    const at = table.startOf(row);
    const length = table.lengthOf(row);
    const most = Math.min(length, beforeLength);
    let shared = 0;
    while (shared < most && arena[before + shared] === arena[at + shared]) shared++;
    writer.varint(shared);
    writer.varint(length - shared);
    writer.bytes(arena, at + shared, at + length);
    if (withFrames) {
      writeFrames(writer, frames, table.framesOf(row, frames));
    }
    before = at;
    beforeLength = length;
  }
  return writer.overflowed ? null : writer.take();
}

/**
 * One frame f: `2f`. More: `2 * count + 1`, the first, then the gaps less one.
 * @param frames - In falling order, `count` of them.
 */
function writeFrames(writer: ByteWriter, frames: Int32Array, count: number): void {
  let last = frames[count - 1] as number;
  if (count === 1) {
    writer.varint(last * 2);
    return;
  }
  writer.varint(count * 2 + 1);
  writer.varint(last);
  for (let i = count - 2; i >= 0; i--) {
    const frame = frames[i] as number;
    writer.varint(frame - last - 1);
    last = frame;
  }
}

/** Told of one key of an index; `row` holds `length` bytes: database number and key, see `DB_BYTES`. */
export type KeyRowVisitor = (row: Buffer, length: number, frames: readonly number[]) => void;

/** Reads a key list. Damage is found where it is met and ends in `TM_SEGMENT_FORMAT`. */
export class KeyListReader {
  readonly #bytes: Buffer;
  readonly #frameCount: number;

  /** @param frameCount - Frames of the segment. */
  constructor(bytes: Buffer, frameCount: number) {
    this.#bytes = bytes;
    this.#frameCount = frameCount;
  }

  /** Number of (db, key) listed. */
  get count(): number {
    return this.#open().count;
  }

  /**
   * The frames in which a key occurs, in rising order; null when it does not occur. Reads up to the
   * key's place; bytes shared with the entry before are never compared twice.
   */
  find(db: number, key: Uint8Array): readonly number[] | null {
    const wanted = Buffer.alloc(DB_BYTES + key.length);
    wanted.writeInt32BE(db, 0);
    wanted.set(key, DB_BYTES);
    const { reader, count, withFrames } = this.#open();
    let matched = 0;
    let length = 0;
    for (let i = 0; i < count; i++) {
      const shared = reader.count(length, 'shared bytes');
      const rest = reader.bytes(reader.count(ROW_BYTES_MAX - shared, 'key length'));
      length = shared + rest.length;
      const frames = withFrames ? this.#frames(reader) : [0];
      // Sharing less than was matched, this entry lies behind the place of the wanted key; sharing
      // more, it differs from it where the entry before did.
      if (shared < matched) return null;
      if (shared > matched) continue;
      let at = 0;
      while (at < rest.length && rest[at] === wanted[matched + at]) at++;
      matched += at;
      if (at === rest.length) {
        if (length === wanted.length) return frames;
        continue;
      }
      if (matched === wanted.length || (rest[at] ?? 0) > (wanted[matched] ?? 0)) return null;
    }
    reader.end();
    return null;
  }

  /**
   * Finds many keys in one pass: `mergeKeys`.
   * @param wanted - Rows (`rowOf`) in byte order.
   */
  findEach(wanted: readonly Buffer[], visit: FoundRowVisitor): void {
    const { reader, count, withFrames } = this.#open();
    const { position: start } = reader;
    const entries = { bytes: this.#bytes, start, count, withFrames, frameCount: this.#frameCount };
    mergeKeys(entries, wanted, visit);
  }

  /** Visits every key in order; `row` is used again for the next one. */
  forEach(visit: KeyRowVisitor): void {
    const { reader, count, withFrames } = this.#open();
    const row = Buffer.alloc(ROW_BYTES_MAX);
    let length = 0;
    for (let i = 0; i < count; i++) {
      const shared = reader.count(length, 'shared bytes');
      const rest = reader.bytes(reader.count(ROW_BYTES_MAX - shared, 'key length'));
      row.set(rest, shared);
      length = shared + rest.length;
      if (length < DB_BYTES) reader.fail('an entry without database number');
      visit(row, length, withFrames ? this.#frames(reader) : [0]);
    }
    reader.end();
  }

  #open(): { reader: ByteReader; count: number; withFrames: boolean } {
    const reader = new ByteReader(this.#bytes, FORMAT, 'key index');
    const flags = reader.u8();
    if (flags > FLAG_FRAMES) reader.fail(`flags ${flags} are not known`);
    const count = reader.count(Number.MAX_SAFE_INTEGER, 'key count');
    return { reader, count, withFrames: flags === FLAG_FRAMES };
  }

  #frames(reader: ByteReader): number[] {
    const head = reader.varint();
    const last = this.#frameCount - 1;
    if (head % 2 === 0) {
      if (head / 2 > last) reader.fail(`frame ${head / 2} of ${this.#frameCount}`);
      return [head / 2];
    }
    const count = (head - 1) / 2;
    if (count < 1 || count > this.#frameCount) reader.fail(`${count} frames`);
    const frames: number[] = [];
    let frame = -1;
    for (let i = 0; i < count; i++) {
      frame += reader.varint() + 1;
      if (frame > last) reader.fail(`frame ${frame} of ${this.#frameCount}`);
      frames.push(frame);
    }
    return frames;
  }
}
