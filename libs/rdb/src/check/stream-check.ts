import type { ChunkCursor, Steps } from '../scan/cursor.ts';
import { LENGTH } from '../scan/layout.ts';
import { passBytes, passUnits, readBytes, readLength, readWideLength } from '../scan/steps.ts';
import { PRODUCED_UNIT } from '../scan/values.ts';
import { checkStreamNode } from './stream-node.ts';
import { valueFault, type ValueTools } from './value-tools.ts';

const ID_BYTES = 16;
/** Ids of producers are kept for so many seconds, and so many of each. */
const ID_SECONDS_MAX = 86_400;
const ID_COUNT_MAX = 10_000;

/**
 * Checks a stream (types 15, 19, 21, 26): every node, that it has as many entries as it claims, and
 * that groups, consumers, pending entries and producers (type 26) stand once and belong together.
 * @see docs/formats/rdb-reading.md, "Streams"; redis src/rdb.c, rdbLoadObject
 */
export function* checkStream(cursor: ChunkCursor, type: number, tools: ValueTools): Steps<void> {
  const nodes = yield* readLength(cursor);
  const entries = yield* checkNodes(cursor, nodes, tools);
  const lengthAt = cursor.offset;
  const length = yield* readWideLength(cursor);
  if (nodes === 0 && (length.high !== 0 || length.low !== 0)) {
    throw valueFault('a stream that claims entries and has none', lengthAt);
  }
  if (entries !== null && length.high * 2 ** 32 + length.low !== entries) {
    throw valueFault(`a stream of ${entries} entries that claims another number`, lengthAt);
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
  if (type >= 26) yield* checkProducers(cursor, tools);
}

/** @returns Entries in all nodes that are not deleted; null when a node was too long to look into. */
function* checkNodes(cursor: ChunkCursor, count: number, tools: ValueTools): Steps<number | null> {
  const { members, strings } = tools;
  let entries = 0;
  let passed = false;
  members.clear();
  for (let left = count; left > 0; left -= 1) {
    const offset = cursor.offset;
    const isNew = yield* tools.readNew(cursor, members);
    if (strings.length !== ID_BYTES) {
      throw valueFault(`a node of a stream whose id has ${strings.length} bytes, not 16`, offset);
    }
    if (!isNew) throw valueFault('a node that stands twice in its stream', offset);
    yield* tools.readPacked(cursor, (range) => {
      entries += checkStreamNode(range);
    });
    if (!strings.known) passed = true;
  }
  tools.settle(members);
  return passed ? null : entries;
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

/** The idempotency part of Redis 8.6: for how long and how many ids are kept, then the producers. */
function* checkProducers(cursor: ChunkCursor, tools: ValueTools): Steps<void> {
  for (const max of [ID_SECONDS_MAX, ID_COUNT_MAX]) {
    const offset = cursor.offset;
    const kept = yield* readLength(cursor);
    if (kept >= 1 && kept <= max) continue;
    throw valueFault(`ids of producers kept up to ${kept}, not up to 1 to ${max}`, offset);
  }
  const { members } = tools;
  members.clear();
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    const offset = cursor.offset;
    if (!(yield* tools.readNew(cursor, members))) {
      throw valueFault('a producer that stands twice in its stream', offset);
    }
    yield* passUnits(cursor, yield* readLength(cursor), PRODUCED_UNIT);
  }
  tools.settle(members);
  yield* passUnits(cursor, 2, [LENGTH]);
}
