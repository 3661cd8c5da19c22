import type { ChunkCursor, Steps } from './cursor.ts';
import { rdbFault } from './faults.ts';
import { type Layout, LENGTH, STRING } from './layout.ts';
import {
  passBytes,
  passPlain,
  passString,
  passUnits,
  readLength,
  readWideLength,
  type WideLength,
} from './steps.ts';

const ID_BYTES = 16;
/** Id of the first entry, listpack. */
export const STREAM_NODE_UNIT = [STRING, STRING];
/** Id, delivery time, delivery count. */
export const PENDING_UNIT = [ID_BYTES, 8, LENGTH];
export const STREAM_ID_UNIT = [ID_BYTES];
/** Idempotency id, entry id. */
export const PRODUCED_UNIT = [STRING, LENGTH, LENGTH];

/**
 * Passes the list of typed items that stands in module values and module fields:
 * opcode 0 ends it; 1, 2 a length; 3 four bytes; 4 eight bytes; 5 a string.
 */
export function* passModuleItems(cursor: ChunkCursor): Steps<void> {
  for (;;) {
    const offset = cursor.offset;
    const opcode = yield* readLength(cursor);
    if (opcode === 0) return;
    if (opcode === 1 || opcode === 2) yield* readWideLength(cursor);
    else if (opcode === 3) yield* passBytes(cursor, 4);
    else if (opcode === 4) yield* passBytes(cursor, 8);
    else if (opcode === 5) yield* passString(cursor);
    else {
      throw rdbFault('TM_RDB_OPCODE', `module opcode ${opcode} is not known`, offset, {
        context: { opcode },
      });
    }
  }
}

/** Passes KEY_META after its opcode: a count of class words, each with a list of module items. */
export function* passKeyMeta(cursor: ChunkCursor): Steps<void> {
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passBytes(cursor, 4);
    yield* passModuleItems(cursor);
  }
}

function* passConsumers(cursor: ChunkCursor, type: number): Steps<void> {
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passString(cursor);
    yield* passBytes(cursor, type >= 21 ? 16 : 8);
    yield* passUnits(cursor, yield* readLength(cursor), STREAM_ID_UNIT);
  }
}

/**
 * Passes a stream (types 15, 19, 21, 26).
 *
 * nodes; length and last id; from 19 on five counters; groups of name, last id, from 19 on the
 * entries read, pending list, consumers (from 21 on with two times); from 26 on the idempotency
 * part: two settings, producers with their ids, two counters.
 * @see docs/formats/rdb-reading.md, "Streams"
 */
function* passStream(cursor: ChunkCursor, type: number): Steps<void> {
  yield* passUnits(cursor, yield* readLength(cursor), STREAM_NODE_UNIT);
  yield* passUnits(cursor, type >= 19 ? 8 : 3, [LENGTH]);
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passString(cursor);
    yield* passUnits(cursor, type >= 19 ? 3 : 2, [LENGTH]);
    yield* passUnits(cursor, yield* readLength(cursor), PENDING_UNIT);
    yield* passConsumers(cursor, type);
  }
  if (type < 26) return;
  yield* passUnits(cursor, 2, [LENGTH]);
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passString(cursor);
    yield* passUnits(cursor, yield* readLength(cursor), PRODUCED_UNIT);
  }
  yield* passUnits(cursor, 2, [LENGTH]);
}

/** Passes a value of a type that is read. `onModule` gets the module id of a module value. */
export function* passValue(
  cursor: ChunkCursor,
  type: number,
  layout: Layout,
  onModule: (id: WideLength, offset: number) => void,
): Steps<void> {
  if (layout.kind === 'plain') return yield* passPlain(cursor, layout);
  if (layout.kind === 'stream') return yield* passStream(cursor, type);
  const offset = cursor.offset;
  onModule(yield* readWideLength(cursor), offset);
  return yield* passModuleItems(cursor);
}
