import { encodeLength } from '../format/encode.ts';
import type { Steps } from '../scan/cursor.ts';
import { rdbFault } from '../scan/faults.ts';
import { passBytes, readLength } from '../scan/steps.ts';
import { ElementWriter } from './element-writer.ts';
import { ListpackReader } from './listpack.ts';
import { readListpack, readWhole } from './packed-string.ts';
import type { ConvertValue } from './value-converter.ts';
import type { ValueCursor } from './value-cursor.ts';
import { ZIPLIST_BYTES_MAX, ziplistAround, ziplistOf } from './ziplist.ts';

const PLAIN_NODE = 1;
const PACKED_NODE = 2;
/** Bytes of a ziplist of one entry apart from its string, at most. */
const ZIPLIST_FRAME_BYTES = 17;

/** Writes a string as it is. */
export function writeString(cursor: ValueCursor, text: Uint8Array): void {
  cursor.write(encodeLength(text.length));
  cursor.write(text);
}

/** How many groups of `width` entries a listpack has; counted when its header does not say. */
export function countGroups(listpack: ListpackReader, width: number, offset: number): number {
  let { count } = listpack;
  if (count === null) {
    count = 0;
    const ahead = new ListpackReader(listpack.bytes, offset);
    while (ahead.next()) count += 1;
  }
  if (count % width === 0) return count / width;
  throw listpack.fault(`has ${count} entries, not ${width} for each element`, 4);
}

/** A set or hash as listpack (16, 20) as strings one after another (4, 2). */
export const unpackStrings = (width: 1 | 2): ConvertValue =>
  function* unpack(cursor): Steps<void> {
    const { offset } = cursor;
    const listpack = yield* readListpack(cursor);
    cursor.write(encodeLength(countGroups(listpack, width, offset)));
    const out = new ElementWriter(cursor, listpack);
    while (listpack.next()) out.string(listpack);
    out.flush();
  };

const SCORE = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function scoreOf(listpack: ListpackReader): number {
  if (listpack.textStart < 0) return Number(listpack.integer);
  const text = listpack.text().toString('latin1');
  if (SCORE.test(text)) return Number(text);
  if (/^[+-]?inf(?:inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  throw listpack.fault('has a score that is no number', listpack.start);
}

/** A sorted set as listpack (17) as members with scores of eight bytes (5). */
export function* unpackSortedSet(cursor: ValueCursor): Steps<void> {
  const { offset } = cursor;
  const listpack = yield* readListpack(cursor);
  cursor.write(encodeLength(countGroups(listpack, 2, offset)));
  const out = new ElementWriter(cursor, listpack);
  while (listpack.next()) {
    out.string(listpack);
    out.double(scoreOf(listpack.need()));
  }
  out.flush();
}

/** A list of listpacks (18) as a list of ziplists (14), node by node. */
export function* listToZiplists(cursor: ValueCursor): Steps<void> {
  const nodes = yield* readLength(cursor);
  cursor.write(encodeLength(nodes));
  for (let left = nodes; left > 0; left -= 1) {
    const { offset } = cursor;
    const container = yield* readLength(cursor);
    if (container === PLAIN_NODE) yield* plainNode(cursor);
    else if (container === PACKED_NODE) {
      writeString(cursor, ziplistOf(yield* readListpack(cursor)));
    } else {
      throw rdbFault('TM_RDB_VALUE', `a list node of kind ${container} is not known`, offset, {
        context: { at: 0 },
      });
    }
  }
}

/** A node that is one long string; as long as it stands plain it passes without being held. */
function* plainNode(cursor: ValueCursor): Steps<void> {
  const { offset } = cursor;
  while (cursor.at >= cursor.end) yield;
  const plain = (cursor.bytes[cursor.at] as number) < 0xc0;
  const text = plain ? null : yield* readWhole(cursor);
  const length = text === null ? yield* readLength(cursor) : text.length;
  if (length > ZIPLIST_BYTES_MAX - ZIPLIST_FRAME_BYTES) {
    throw rdbFault('TM_RDB_LIMIT', `an element of ${length} bytes fits no ziplist`, offset, {
      context: { length, limit: ZIPLIST_BYTES_MAX - ZIPLIST_FRAME_BYTES },
    });
  }
  const { head, end } = ziplistAround(length);
  cursor.write(encodeLength(head.length + length + end.length));
  cursor.write(head);
  if (text === null) {
    cursor.copy();
    yield* passBytes(cursor, length);
    cursor.stop();
  } else cursor.write(text);
  cursor.write(end);
}
