import { GrowingBytes } from '../format/growing-bytes.ts';
import { AUX_NAME_BYTES_MAX, AUX_VALUE_BYTES_KEPT, KEY_BYTES_MAX } from '../format/limits.ts';
import { OPCODE, OPCODE_FIRST } from '../format/opcodes.ts';
import { type RdbProduct, typeName } from '../format/types.ts';
import type { ChunkCursor, Steps } from './cursor.ts';
import { hexByte, rdbFault } from './faults.ts';
import { type Layout, LENGTH } from './layout.ts';
import { type OpenElement, ROW } from './rows.ts';
import {
  passBytes,
  passString,
  passUnits,
  readByte,
  readBytes,
  readLength,
  readString,
  readWideLength,
} from './steps.ts';
import type { SummaryBuilder } from './summary.ts';
import { passKeyMeta, passModuleItems, passValue } from './values.ts';
import { int32Le, int64Le } from './within.ts';

/** What the step-by-step reader works on. */
export interface ElementReader {
  readonly cursor: ChunkCursor;
  readonly open: OpenElement;
  readonly summary: SummaryBuilder;
  readonly product: RdbProduct;
  readonly layouts: readonly (Layout | undefined)[];
  /** The database that keys belong to from here on. */
  db: number;
}

function unknownOpcode(opcode: number, offset: number, what: string): Error {
  return rdbFault('TM_RDB_OPCODE', `opcode ${hexByte(opcode)} ${what}`, offset, {
    context: { opcode },
  });
}

function unknownType(reader: ElementReader, type: number, offset: number): Error {
  const name = typeName(reader.product, type);
  const message = `value type ${type} (${name ?? 'not known'}) is not read`;
  return rdbFault('TM_RDB_TYPE', message, offset, { context: { type, name } });
}

/** AUX: name and value; the value is kept when it is short. */
function* readAux(reader: ElementReader): Steps<void> {
  const { cursor, open, summary } = reader;
  yield* readString(cursor, AUX_NAME_BYTES_MAX, open.key);
  open.valueStart = cursor.offset;
  open.named = true;
  const first = yield* peekByte(cursor);
  const long = (first >= 0x44 && first < 0xc0) || first === 0xc3;
  if (long) return yield* passString(cursor);
  const value = new GrowingBytes();
  yield* readString(cursor, AUX_VALUE_BYTES_KEPT, value);
  summary.addAux(open.key.view().toString('utf8'), value.view().toString('utf8'));
}

function* peekByte(cursor: ChunkCursor): Steps<number> {
  while (cursor.at >= cursor.end) yield;
  return cursor.bytes[cursor.at] as number;
}

function* readModuleAux(reader: ElementReader): Steps<void> {
  const { cursor, summary } = reader;
  const offset = cursor.offset;
  summary.addModule(yield* readWideLength(cursor), offset);
  const whenAt = cursor.offset;
  const opcode = yield* readLength(cursor);
  if (opcode !== 2) {
    throw rdbFault('TM_RDB_OPCODE', `module opcode ${opcode} stands where 2 must`, whenAt, {
      context: { opcode },
    });
  }
  yield* readLength(cursor);
  yield* passModuleItems(cursor);
}

/** One of the blocks that stand before a key. Gives whether it was one. */
function* readPrefix(reader: ElementReader, opcode: number): Steps<boolean> {
  const { cursor, open, product } = reader;
  const opcodeAt = cursor.offset - 1;
  if (opcode === OPCODE.idle) yield* readLength(cursor);
  else if (opcode === OPCODE.frequency) yield* passBytes(cursor, 1);
  else if (opcode === OPCODE.expiryMs || opcode === OPCODE.expirySeconds) {
    if ((open.flags & ROW.hasExpiry) !== 0) {
      throw unknownOpcode(opcode, opcodeAt, 'gives a second expiry');
    }
    open.expiryAt = opcodeAt;
    open.expiryMs =
      opcode === OPCODE.expiryMs
        ? int64Le(yield* readBytes(cursor, 8), 0)
        : int32Le(yield* readBytes(cursor, 4), 0) * 1000;
    if (opcode === OPCODE.expirySeconds) open.flags |= ROW.expiryInSeconds;
    if (open.expiryMs !== -1) open.flags |= ROW.hasExpiry;
  } else if (opcode === OPCODE.keyMetaOrSlotImport && product === 'redis') {
    if ((open.flags & ROW.hasKeyMeta) !== 0) {
      throw unknownOpcode(opcode, opcodeAt, 'stands twice before one key');
    }
    open.metaStart = opcodeAt;
    yield* passKeyMeta(cursor);
    open.metaEnd = cursor.offset;
    open.flags |= ROW.hasKeyMeta;
  } else return false;
  return true;
}

function* readEntry(reader: ElementReader, first: number): Steps<void> {
  const { cursor, open, layouts, summary } = reader;
  let type = first;
  let typeAt = open.start;
  while (yield* readPrefix(reader, type)) {
    typeAt = cursor.offset;
    type = yield* readByte(cursor);
  }
  if (type >= OPCODE_FIRST) throw unknownOpcode(type, typeAt, 'stands where a value type must');
  const layout = layouts[type];
  if (layout === undefined) throw unknownType(reader, type, typeAt);
  open.type = type;
  open.typeAt = typeAt;
  yield* readString(cursor, KEY_BYTES_MAX, open.key);
  open.valueStart = cursor.offset;
  open.named = true;
  yield* passValue(cursor, type, layout, (id, offset) => {
    summary.addModule(id, offset);
  });
}

/** SLOT_IMPORT of Valkey: a job name and ranges of slots. */
function* readSlotImport(cursor: ChunkCursor): Steps<void> {
  yield* passString(cursor);
  yield* passUnits(cursor, yield* readLength(cursor), [LENGTH, LENGTH]);
}

function isPrefix(product: RdbProduct, opcode: number): boolean {
  if (opcode === OPCODE.keyMetaOrSlotImport) return product === 'redis';
  return opcode >= OPCODE.idle && opcode <= OPCODE.expirySeconds
    ? opcode !== OPCODE.aux && opcode !== OPCODE.resizeDb
    : false;
}

function secondaryOpcode(product: RdbProduct, opcode: number, offset: number): Error {
  if (opcode === OPCODE.functionPreGa) {
    return unknownOpcode(opcode, offset, '(functions of Redis 7.0-rc) is not read');
  }
  const name = product === 'redis' ? 'HASH_TEMPLATE of Redis 8.10' : 'UPDATE of Valkey 9.2';
  return unknownOpcode(opcode, offset, `(${name}) is not read`);
}

/** Reads the element that begins at the cursor into `open`. Gives false at the end of file opcode. */
export function* readElement(reader: ElementReader): Steps<boolean> {
  const { cursor, open, product } = reader;
  yield* peekByte(cursor);
  open.begin(cursor.offset, reader.db);
  const opcode = yield* readByte(cursor);
  if (opcode < OPCODE_FIRST || isPrefix(product, opcode)) {
    yield* readEntry(reader, opcode);
    return true;
  }
  open.type = opcode;
  open.named = opcode !== OPCODE.aux;
  switch (opcode) {
    case OPCODE.endOfFile:
      return false;
    case OPCODE.selectDb: {
      const offset = cursor.offset;
      const db = yield* readLength(cursor);
      reader.summary.select(db, offset);
      reader.db = db;
      open.db = db;
      return true;
    }
    case OPCODE.resizeDb:
      yield* passUnits(cursor, 2, [LENGTH]);
      return true;
    case OPCODE.aux:
      yield* readAux(reader);
      return true;
    case OPCODE.moduleAux:
      yield* readModuleAux(reader);
      return true;
    case OPCODE.function2:
      yield* passString(cursor);
      return true;
    case OPCODE.slotInfo:
      yield* passUnits(cursor, 3, [LENGTH]);
      return true;
    case OPCODE.keyMetaOrSlotImport:
      yield* readSlotImport(cursor);
      return true;
    default:
      throw secondaryOpcode(product, opcode, open.start);
  }
}
