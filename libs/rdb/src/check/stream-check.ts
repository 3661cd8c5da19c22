import type { ChunkCursor, Steps } from '../scan/cursor.ts';
import { LENGTH, STRING } from '../scan/layout.ts';
import { passBytes, passUnits, readBytes, readLength, readWideLength } from '../scan/steps.ts';
import { PRODUCED_UNIT } from '../scan/values.ts';
import { checkStreamNode } from './stream-node.ts';
import { valueFault, type ValueTools } from './value-tools.ts';

const ID_BYTES = 16;

/**
 * Checks a stream (types 15, 19, 21, 26): every node, and that groups, consumers and pending entries
 * stand once and belong together. What follows the groups (type 26) is passed.
 * @see docs/formats/rdb-reading.md, "Streams"; redis src/rdb.c, rdbLoadObject
 */
export function* checkStream(cursor: ChunkCursor, type: number, tools: ValueTools): Steps<void> {
  const nodes = yield* readLength(cursor);
  yield* checkNodes(cursor, nodes, tools);
  const lengthAt = cursor.offset;
  const length = yield* readWideLength(cursor);
  if (nodes === 0 && (length.high !== 0 || length.low !== 0)) {
    throw valueFault('a stream that claims entries and has none', lengthAt);
  }
  yield* passUnits(cursor, type >= 19 ? 7 : 2, [LENGTH]);
  const { members } = tools;
  members.clear();
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    const offset = cursor.offset;
    if (!(yield* tools.readNew(cursor, members))) {
      throw valueFault('a group that stands twice in its stream', offset);
    }
    yield* passUnits(cursor, type >= 19 ? 3 : 2, [LENGTH]);
    yield* checkGroup(cursor, type, tools);
  }
  tools.settle(members);
  if (type >= 26) yield* passProducers(cursor);
}

function* checkNodes(cursor: ChunkCursor, count: number, tools: ValueTools): Steps<void> {
  const { members, strings } = tools;
  members.clear();
  for (let left = count; left > 0; left -= 1) {
    const offset = cursor.offset;
    const isNew = yield* tools.readNew(cursor, members);
    if (strings.length !== ID_BYTES) {
      throw valueFault(`a node of a stream whose id has ${strings.length} bytes, not 16`, offset);
    }
    if (!isNew) throw valueFault('a node that stands twice in its stream', offset);
    yield* tools.readPacked(cursor, checkStreamNode);
  }
  tools.settle(members);
}

/** Pending entries of a group, then its consumers, each of which names those that are its own. */
function* checkGroup(cursor: ChunkCursor, type: number, tools: ValueTools): Steps<void> {
  const { pending, consumers } = tools;
  pending.clear();
  const groupAt = cursor.offset;
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    const offset = cursor.offset;
    const id = yield* readBytes(cursor, ID_BYTES);
    if (!pending.add(id, 0, ID_BYTES)) {
      throw valueFault('an entry that is pending twice in its group', offset);
    }
    yield* passBytes(cursor, 8);
    yield* readWideLength(cursor);
  }
  consumers.clear();
  let owned = 0;
  const count = yield* readLength(cursor);
  for (let consumer = 1; consumer <= count; consumer += 1) {
    const offset = cursor.offset;
    if (!(yield* tools.readNew(cursor, consumers))) {
      throw valueFault('a consumer that stands twice in its group', offset);
    }
    yield* passBytes(cursor, type >= 21 ? 16 : 8);
    owned += yield* checkOwned(cursor, consumer, tools);
  }
  tools.settle(consumers);
  tools.settle(pending);
  if (!pending.overflowed && owned !== pending.count) {
    throw valueFault('a pending entry of a group that no consumer has', groupAt);
  }
}

/** @returns How many pending entries got their first consumer. */
function* checkOwned(cursor: ChunkCursor, consumer: number, tools: ValueTools): Steps<number> {
  const { pending } = tools;
  // Marks have 32 bits; of more consumers than that the last ones share theirs.
  const mark = Math.min(consumer, 0x7fff_fffe);
  let first = 0;
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    const offset = cursor.offset;
    const id = yield* readBytes(cursor, ID_BYTES);
    const before = pending.mark(id, 0, ID_BYTES, mark);
    if (before === 0) first += 1;
    else if (pending.overflowed) continue;
    else if (before < 0)
      throw valueFault('an entry of a consumer not pending in its group', offset);
    else if (before === mark) throw valueFault('an entry that a consumer has twice', offset);
  }
  return first;
}

/** The idempotency part of Redis 8.6. */
function* passProducers(cursor: ChunkCursor): Steps<void> {
  yield* passUnits(cursor, 2, [LENGTH]);
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passUnits(cursor, 1, [STRING]);
    yield* passUnits(cursor, yield* readLength(cursor), PRODUCED_UNIT);
  }
  yield* passUnits(cursor, 2, [LENGTH]);
}
