import { checkListpack } from '../check/listpack.ts';
import type { ElementVisitor, PackedRange } from '../check/packed.ts';
import { PackedFault } from '../check/packed.ts';
import { checkZiplist } from '../check/ziplist.ts';
import { checkZipmap } from '../check/zipmap.ts';
import { GrowingBytes } from '../format/growing-bytes.ts';
import { VALUE_PART_BYTES_MAX } from '../format/limits.ts';
import { ChunkCursor, type Steps } from '../scan/cursor.ts';
import { rdbFault } from '../scan/faults.ts';
import { readByte, readBytes, readLength, readString } from '../scan/steps.ts';
import { int32Le, int64Le } from '../scan/within.ts';
import { readDumpPayload } from './read-dump.ts';
import { visitStream } from './stream-content.ts';

/** What a value is, whatever its encoding. */
export type ContentKind = 'string' | 'list' | 'set' | 'zset' | 'hash' | 'stream' | 'raw';

/**
 * Takes the content of a value. A group is an element of a list, a member of a set, a member and its
 * score (8 bytes, double, little endian), a field, its value and its expiry (8 bytes, Unix
 * milliseconds, little endian, 0 = none); else all is one group. Bytes are valid during the call.
 */
export interface ContentVisitor {
  begin(kind: ContentKind): void;
  part(bytes: Uint8Array, start: number, end: number): void;
  endGroup(): void;
}

type Read = (input: ContentInput, type: number) => Steps<void>;

/** What a value is read with. */
class ContentInput {
  readonly cursor: ChunkCursor;
  readonly visitor: ContentVisitor;
  readonly text = new GrowingBytes();
  readonly #eight = Buffer.alloc(8);

  constructor(cursor: ChunkCursor, visitor: ContentVisitor) {
    this.cursor = cursor;
    this.visitor = visitor;
  }

  /** Reads a string into `text`. */
  *string(): Steps<Buffer> {
    this.text.clear();
    yield* readString(this.cursor, VALUE_PART_BYTES_MAX, this.text);
    return this.text.view();
  }

  /** Reads a string and gives it to the visitor. */
  *part(): Steps<void> {
    const bytes = yield* this.string();
    this.visitor.part(bytes, 0, bytes.length);
  }

  double(value: number): void {
    this.#eight.writeDoubleLE(value);
    this.visitor.part(this.#eight, 0, 8);
  }

  time(value: number): void {
    this.#eight.writeBigInt64LE(BigInt(value));
    this.visitor.part(this.#eight, 0, 8);
  }
}

const KINDS: ReadonlyMap<number, readonly [ContentKind, Read]> = new Map<
  number,
  readonly [ContentKind, Read]
>([
  [0, ['string', readOne]],
  [1, ['list', readMembers]],
  [10, ['list', readZiplist]],
  [14, ['list', readNodes]],
  [18, ['list', readNodes]],
  [2, ['set', readMembers]],
  [11, ['set', readIntset]],
  [20, ['set', readListpack]],
  [3, ['zset', readScored]],
  [5, ['zset', readScored]],
  [12, ['zset', readZiplist]],
  [17, ['zset', readListpack]],
  [4, ['hash', readFields]],
  [9, ['hash', readZipmap]],
  [13, ['hash', readZiplist]],
  [16, ['hash', readListpack]],
  [22, ['hash', readFields]],
  [24, ['hash', readFields]],
  [25, ['hash', readTriples]],
]);

/**
 * Gives the content of a DUMP payload to a visitor, the same for every encoding of the same value
 * (but for the order in sets, hashes and sorted sets). Of streams what docs/promises.md promises is
 * given; values of modules are given as they stand.
 * @throws FormatError, IntegrityError as `readDumpPayload`, and `TM_RDB_VALUE`.
 */
export function visitDumpContent(payload: Uint8Array, visitor: ContentVisitor): void {
  const { type, valueStart, valueEnd } = readDumpPayload(payload);
  const cursor = new ChunkCursor();
  cursor.feed(payload.subarray(valueStart, valueEnd));
  const input = new ContentInput(cursor, visitor);
  const known = KINDS.get(type);
  if (known !== undefined) {
    visitor.begin(known[0]);
    finish(known[1](input, type), cursor);
  } else if (type === 15 || type === 19 || type === 21 || type === 26) {
    visitor.begin('stream');
    finish(visitStream(cursor, type, visitor), cursor);
  } else {
    visitor.begin('raw');
    visitor.part(payload, valueStart, valueEnd);
    visitor.endGroup();
  }
}

function finish(steps: Steps<void>, cursor: ChunkCursor): void {
  try {
    if (steps.next().done === true) return;
  } catch (cause) {
    if (!(cause instanceof PackedFault)) throw cause;
    throw rdbFault('TM_RDB_VALUE', cause.message, cursor.offset, { context: { at: cause.within } });
  }
  throw rdbFault('TM_RDB_TRUNCATED', 'a value is cut short', cursor.offset);
}

function* readOne(input: ContentInput): Steps<void> {
  yield* input.part();
  input.visitor.endGroup();
}

function* readMembers(input: ContentInput): Steps<void> {
  for (let left = yield* readLength(input.cursor); left > 0; left -= 1) yield* readOne(input);
}

function* readScored(input: ContentInput, type: number): Steps<void> {
  const { cursor, visitor } = input;
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* input.part();
    if (type === 5) visitor.part(yield* readBytes(cursor, 8), 0, 8);
    else input.double(yield* readTextScore(cursor));
    visitor.endGroup();
  }
}

function* readTextScore(cursor: ChunkCursor): Steps<number> {
  const size = yield* readByte(cursor);
  if (size >= 253) return size === 253 ? NaN : size === 254 ? Infinity : -Infinity;
  let text = '';
  for (let i = 0; i < size; i += 1) text += String.fromCharCode(yield* readByte(cursor));
  return Number(text);
}

/** Types 4, 22 (expiry behind) and 24 (expiry before, counted from the earliest). */
function* readFields(input: ContentInput, type: number): Steps<void> {
  const { cursor, visitor } = input;
  const earliest = type === 24 ? int64Le(yield* readBytes(cursor, 8), 0) : 0;
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    let expiryMs = 0;
    if (type === 24) {
      const relative = yield* readLength(cursor);
      expiryMs = relative === 0 ? 0 : relative + earliest - 1;
    }
    yield* input.part();
    yield* input.part();
    if (type === 22) expiryMs = Math.max(0, int64Le(yield* readBytes(cursor, 8), 0));
    input.time(expiryMs);
    visitor.endGroup();
  }
}

/** Type 25: fields, values and expiries in one listpack, the earliest expiry in front. */
function* readTriples(input: ContentInput): Steps<void> {
  yield* readBytes(input.cursor, 8);
  const range = rangeOf(yield* input.string());
  checkListpack(range, (index, bytes, start, end) => {
    if (index % 3 < 2) {
      input.visitor.part(bytes, start, end);
      return;
    }
    input.time(Number(Buffer.from(bytes.subarray(start, end)).toString('latin1')));
    input.visitor.endGroup();
  });
}

function* readListpack(input: ContentInput, type: number): Steps<void> {
  checkListpack(rangeOf(yield* input.string()), groupsOf(input, type));
}

function* readZiplist(input: ContentInput, type: number): Steps<void> {
  checkZiplist(rangeOf(yield* input.string()), groupsOf(input, type));
}

function* readZipmap(input: ContentInput, type: number): Steps<void> {
  checkZipmap(rangeOf(yield* input.string()), groupsOf(input, type));
}

/** The elements of a packed value in groups, by the type that it is of. */
function groupsOf(input: ContentInput, type: number): ElementVisitor {
  const { visitor } = input;
  const kind = KINDS.get(type)?.[0];
  if (kind === 'list' || kind === 'set') {
    return (_, bytes, start, end) => {
      visitor.part(bytes, start, end);
      visitor.endGroup();
    };
  }
  return (index, bytes, start, end) => {
    if (index % 2 === 0 || kind === 'hash') visitor.part(bytes, start, end);
    if (index % 2 === 0) return;
    if (kind === 'hash') input.time(0);
    else input.double(scoreOf(Buffer.from(bytes.subarray(start, end)).toString('latin1')));
    visitor.endGroup();
  };
}

function scoreOf(text: string): number {
  if (!/^[+-]?inf/i.test(text)) return Number(text);
  return text.startsWith('-') ? -Infinity : Infinity;
}

function* readIntset(input: ContentInput): Steps<void> {
  const bytes = yield* input.string();
  const width = bytes.length < 8 ? 0 : int32Le(bytes, 0);
  if (![2, 4, 8].includes(width) || (bytes.length - 8) % width !== 0) {
    throw new PackedFault('an intset that is not well formed', 0);
  }
  for (let at = 8; at < bytes.length; at += width) {
    const value = width === 8 ? bytes.readBigInt64LE(at) : bytes.readIntLE(at, width);
    const text = Buffer.from(value.toString(), 'latin1');
    input.visitor.part(text, 0, text.length);
    input.visitor.endGroup();
  }
}

/** Quicklists: nodes of ziplists (14), or of listpacks and long strings (18). */
function* readNodes(input: ContentInput, type: number): Steps<void> {
  const { cursor, visitor } = input;
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    const container = type === 18 ? yield* readLength(cursor) : 2;
    const bytes = yield* input.string();
    if (container === 1) {
      visitor.part(bytes, 0, bytes.length);
      visitor.endGroup();
    } else if (type === 18) checkListpack(rangeOf(bytes), groupsOf(input, type));
    else checkZiplist(rangeOf(bytes), groupsOf(input, type));
  }
}

function rangeOf(bytes: Buffer): PackedRange {
  return { bytes, start: 0, end: bytes.length };
}
