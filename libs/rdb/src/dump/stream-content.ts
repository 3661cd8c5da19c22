import { GrowingBytes } from '../format/growing-bytes.ts';
import { VALUE_PART_BYTES_MAX } from '../format/limits.ts';
import type { ChunkCursor, Steps } from '../scan/cursor.ts';
import { LENGTH } from '../scan/layout.ts';
import { passBytes, passUnits, readLength, readString, readWideLength } from '../scan/steps.ts';

const ID_BYTES = 16;

/** What takes the parts of a stream. */
export interface StreamVisitor {
  part(bytes: Uint8Array, start: number, end: number): void;
  endGroup(): void;
}

/**
 * Gives a stream as one group: nodes, length and last id, groups with their last ids, pending entries
 * and the consumers that have them. Left out is what older servers do not keep or no replay gives
 * again: counters, times of consumers, the idempotency part.
 */
export function* visitStream(
  cursor: ChunkCursor,
  type: number,
  visitor: StreamVisitor,
): Steps<void> {
  const read = new StreamReader(cursor, visitor);
  const nodes = yield* read.count();
  for (let left = nodes * 2; left > 0; left -= 1) yield* read.string();
  for (let left = 3; left > 0; left -= 1) yield* read.wide();
  if (type >= 19) yield* passUnits(cursor, 5, [LENGTH]);
  for (let left = yield* read.count(); left > 0; left -= 1) {
    yield* read.string();
    yield* read.wide();
    yield* read.wide();
    if (type >= 19) yield* passUnits(cursor, 1, [LENGTH]);
    for (let pending = yield* read.count(); pending > 0; pending -= 1) {
      yield* read.bytes(ID_BYTES + 8);
      yield* read.wide();
    }
    for (let consumers = yield* read.count(); consumers > 0; consumers -= 1) {
      yield* read.string();
      yield* passBytes(cursor, type >= 21 ? 16 : 8);
      for (let own = yield* read.count(); own > 0; own -= 1) yield* read.bytes(ID_BYTES);
    }
  }
  visitor.endGroup();
}

/** Reads parts and gives each to the visitor. */
class StreamReader {
  readonly #cursor: ChunkCursor;
  readonly #visitor: StreamVisitor;
  readonly #text = new GrowingBytes();
  readonly #eight = Buffer.alloc(8);

  constructor(cursor: ChunkCursor, visitor: StreamVisitor) {
    this.#cursor = cursor;
    this.#visitor = visitor;
  }

  *string(): Steps<void> {
    this.#text.clear();
    yield* readString(this.#cursor, VALUE_PART_BYTES_MAX, this.#text);
    const bytes = this.#text.view();
    this.#visitor.part(bytes, 0, bytes.length);
  }

  *wide(): Steps<void> {
    const { high, low } = yield* readWideLength(this.#cursor);
    this.#eight.writeUInt32BE(high, 0);
    this.#eight.writeUInt32BE(low, 4);
    this.#visitor.part(this.#eight, 0, 8);
  }

  *count(): Steps<number> {
    const count = yield* readLength(this.#cursor);
    this.#eight.writeBigUInt64BE(BigInt(count));
    this.#visitor.part(this.#eight, 0, 8);
    return count;
  }

  /** A few bytes; the payload is whole, so that they lie in one piece. */
  *bytes(length: number): Steps<void> {
    const { bytes, at } = this.#cursor;
    yield* passBytes(this.#cursor, length);
    this.#visitor.part(bytes, at, at + length);
  }
}
