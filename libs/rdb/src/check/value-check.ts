import { FIELD_EXPIRY_MAX } from '../format/limits.ts';
import { OPCODE } from '../format/opcodes.ts';
import type { ChunkCursor, Steps } from '../scan/cursor.ts';
import type { Layout } from '../scan/layout.ts';
import { passBytes, readByte, readBytes, readLength, readWideLength } from '../scan/steps.ts';
import { passValue } from '../scan/values.ts';
import { int64Le } from '../scan/within.ts';
import { checkListpack } from './listpack.ts';
import { checkListZiplist, PACKED_VALUES } from './packed-values.ts';
import { checkStream } from './stream-check.ts';
import { valueFault, type ValueTools } from './value-tools.ts';

/** How the members of a type stand, apart from the string that names each. */
interface Members {
  /** Bytes of an expiry that goes for the whole value. */
  readonly head: number;
  /** What stands behind the name of a member. */
  readonly tail: 'nothing' | 'value' | 'double' | 'text-score' | 'value-and-time';
}

const MEMBERS: ReadonlyMap<number, Members> = new Map<number, Members>([
  [2, { head: 0, tail: 'nothing' }],
  [3, { head: 0, tail: 'text-score' }],
  [4, { head: 0, tail: 'value' }],
  [5, { head: 0, tail: 'double' }],
  [22, { head: 0, tail: 'value-and-time' }],
  [24, { head: 8, tail: 'value' }],
]);

/** What a server reads as a number at the start of a score (C, `%lg`), except what is not one. */
const TEXT_SCORE = /^[ \t\n\v\f\r]*[+-]?(?:inf|\.?[0-9])/i;

/**
 * Checks the content of one value, from its first byte to its last, beyond what the scanner sees:
 * packed values inside out, compressed strings, members that stand twice, values without a member.
 *
 * The same as a server does when it loads with `sanitize-dump-payload yes`.
 * @throws FormatError `TM_RDB_VALUE`, `TM_RDB_STRING`, and whatever the scanner finds there.
 */
export function* checkValue(
  cursor: ChunkCursor,
  type: number,
  layout: Layout,
  tools: ValueTools,
): Steps<void> {
  if (type === 0) return yield* tools.strings.pass(cursor);
  if (type === 1) return yield* checkList(cursor, tools);
  if (type === 14 || type === 18) return yield* checkQuicklist(cursor, type, tools);
  if (layout.kind === 'stream') return yield* checkStream(cursor, type, tools);
  const members = MEMBERS.get(type);
  if (members !== undefined) return yield* checkMembers(cursor, type, members, tools);
  if (layout.kind === 'module') return yield* checkModuleItems(cursor, tools);
  const packed = PACKED_VALUES.get(type);
  if (packed === undefined) return yield* passValue(cursor, type, layout, () => undefined);
  // What a server makes of this expiry it takes from the fields.
  if (type === 25) yield* passBytes(cursor, 8);
  yield* tools.readPacked(cursor, (range) => {
    packed(range, tools.members);
  });
  tools.settle(tools.members);
}

/**
 * Checks what stands outside of entries, from behind its opcode on: a library of functions, the value
 * of an AUX field, a field of a module.
 */
export function* checkOutside(cursor: ChunkCursor, opcode: number, tools: ValueTools): Steps<void> {
  if (opcode !== OPCODE.moduleAux) return yield* tools.strings.pass(cursor);
  yield* readWideLength(cursor);
  // What cannot stand here the scanner has found, and names.
  if ((yield* readLength(cursor)) === 2) yield* checkModuleItems(cursor, tools);
}

/** Items of a module behind one length (id, or when it is loaded); their strings must decode. */
function* checkModuleItems(cursor: ChunkCursor, tools: ValueTools): Steps<void> {
  yield* readWideLength(cursor);
  for (;;) {
    const item = yield* readLength(cursor);
    if (item === 0 || item > 5) return;
    if (item === 5) yield* tools.strings.pass(cursor);
    else if (item > 2) yield* passBytes(cursor, item === 3 ? 4 : 8);
    else yield* readWideLength(cursor);
  }
}

function* readCount(cursor: ChunkCursor): Steps<number> {
  const offset = cursor.offset;
  const count = yield* readLength(cursor);
  if (count === 0) throw valueFault('a value without a member', offset);
  return count;
}

function* checkList(cursor: ChunkCursor, tools: ValueTools): Steps<void> {
  for (let left = yield* readCount(cursor); left > 0; left -= 1) {
    if (!tools.strings.passWithin(cursor)) yield* tools.strings.pass(cursor);
  }
}

function* checkQuicklist(cursor: ChunkCursor, type: number, tools: ValueTools): Steps<void> {
  const { strings } = tools;
  const valueAt = cursor.offset;
  let elements = 0;
  for (let left = yield* readCount(cursor); left > 0; left -= 1) {
    const offset = cursor.offset;
    const container = type === 18 ? yield* readLength(cursor) : 2;
    if (container !== 1 && container !== 2) {
      throw valueFault(`a node of a list of kind ${container}`, offset);
    }
    if (container === 1) {
      yield* strings.read(cursor);
      // Its content is free: there is nothing to look into.
      if (!strings.known) strings.passed -= 1;
      if (strings.length === 0) throw valueFault('a node of a list without content', offset);
      elements += 1;
      continue;
    }
    yield* tools.readPacked(cursor, (range) => {
      elements += type === 18 ? checkListpack(range) : checkListZiplist(range);
    });
    if (!strings.known) elements += 1;
  }
  if (elements === 0) throw valueFault('a list without an element', valueAt);
}

function* checkMembers(
  cursor: ChunkCursor,
  type: number,
  { head, tail }: Members,
  tools: ValueTools,
): Steps<void> {
  const { members, strings } = tools;
  members.clear();
  const earliest = head > 0 ? yield* readExpiry(cursor) : 0;
  for (let left = yield* readCount(cursor); left > 0; left -= 1) {
    if (type === 24) yield* readRelativeExpiry(cursor, earliest);
    const offset = cursor.offset;
    // The common case of `readNew`, without a generator for each member.
    const isNew = strings.readWithin(cursor)
      ? members.add(strings.bytes, strings.start, strings.end)
      : yield* tools.readNew(cursor, members);
    if (!isNew) throw valueFault('a member that stands twice', offset);
    if (tail === 'value' || tail === 'value-and-time') {
      if (!strings.passWithin(cursor)) yield* strings.pass(cursor);
      if (tail === 'value-and-time') yield* readFieldTime(cursor);
    } else if (tail === 'double') {
      if (!passNumber(cursor)) yield* readDouble(cursor);
    } else if (tail === 'text-score') yield* readTextScore(cursor);
  }
  tools.settle(members);
}

/** The expiry before a hash of type 24: what its fields' are counted from. */
function* readExpiry(cursor: ChunkCursor): Steps<number> {
  const offset = cursor.offset;
  const expiryMs = int64Le(yield* readBytes(cursor, 8), 0);
  if (expiryMs < 0 || expiryMs > FIELD_EXPIRY_MAX + 1) {
    throw valueFault(`an expiry of a field at ${expiryMs}`, offset);
  }
  return expiryMs;
}

function* readRelativeExpiry(cursor: ChunkCursor, earliest: number): Steps<void> {
  const offset = cursor.offset;
  const relative = yield* readLength(cursor);
  if (relative !== 0 && relative + earliest - 1 > FIELD_EXPIRY_MAX) {
    throw valueFault(`an expiry of a field at ${relative + earliest - 1}`, offset);
  }
}

/** The expiry behind a field of Valkey: -1 for none. */
function* readFieldTime(cursor: ChunkCursor): Steps<void> {
  const offset = cursor.offset;
  const expiryMs = int64Le(yield* readBytes(cursor, 8), 0);
  if (expiryMs < -1) throw valueFault(`an expiry of a field at ${expiryMs}`, offset);
}

/** Passes a score that lies whole in the chunk and is a number; else `readDouble` looks again. */
function passNumber(cursor: ChunkCursor): boolean {
  const { bytes, at, end } = cursor;
  if (at + 8 > end || isNan(bytes, at)) return false;
  cursor.at = at + 8;
  return true;
}

function* readDouble(cursor: ChunkCursor): Steps<void> {
  const offset = cursor.offset;
  if (isNan(yield* readBytes(cursor, 8), 0))
    throw valueFault('a score that is not a number', offset);
}

/** Whether a double is not a number: all bits of the exponent, and one of the fraction. */
function isNan(bytes: Uint8Array, at: number): boolean {
  const top = ((bytes[at + 7] as number) << 8) | (bytes[at + 6] as number);
  if ((top & 0x7ff0) !== 0x7ff0) return false;
  let fraction = top & 0x0f;
  for (let byte = 0; byte < 6; byte += 1) fraction |= bytes[at + byte] as number;
  return fraction !== 0;
}

function* readTextScore(cursor: ChunkCursor): Steps<void> {
  const offset = cursor.offset;
  const size = yield* readByte(cursor);
  if (size === 253) throw valueFault('a score that is not a number', offset);
  if (size > 253) return;
  const text = Buffer.from(yield* readBytes(cursor, size)).toString('latin1');
  if (!TEXT_SCORE.test(text)) throw valueFault('a score that is not a number', offset);
}
