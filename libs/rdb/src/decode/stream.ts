import type { Steps } from '../scan/cursor.ts';
import { LENGTH } from '../scan/layout.ts';
import { passBytes, passString, passUnits, readLength } from '../scan/steps.ts';
import { PENDING_UNIT, PRODUCED_UNIT, STREAM_ID_UNIT, STREAM_NODE_UNIT } from '../scan/values.ts';
import type { ConvertValue } from './value-converter.ts';
import type { ValueCursor } from './value-cursor.ts';

/** The types of streams, each with what it has more than the one before. */
export type StreamType = 15 | 19 | 21 | 26;

const LENGTHS = [LENGTH];

/** Passes a part that `from` has and, when the written type is too old for it, leaves it out. */
function* part(cursor: ValueCursor, keeps: boolean, pass: Steps<void>): Steps<void> {
  if (!keeps) cursor.stop();
  yield* pass;
  if (!keeps) cursor.copy();
}

function* passCounted(cursor: ValueCursor, unit: readonly number[]): Steps<void> {
  yield* passUnits(cursor, yield* readLength(cursor), unit);
}

function* passConsumers(cursor: ValueCursor, from: StreamType, to: StreamType): Steps<void> {
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passString(cursor);
    yield* passBytes(cursor, 8);
    if (from >= 21) yield* part(cursor, to >= 21, passBytes(cursor, 8));
    yield* passCounted(cursor, STREAM_ID_UNIT);
  }
}

function* passIdempotency(cursor: ValueCursor): Steps<void> {
  yield* passUnits(cursor, 2, LENGTHS);
  for (let left = yield* readLength(cursor); left > 0; left -= 1) {
    yield* passString(cursor);
    yield* passCounted(cursor, PRODUCED_UNIT);
  }
  yield* passUnits(cursor, 2, LENGTHS);
}

/**
 * A stream as an older type: from 26 the idempotency part goes, from 21 the active time of consumers,
 * from 19 the counters of the stream and the entries read of groups. All else is copied.
 */
export const olderStream = (from: StreamType, to: StreamType): ConvertValue =>
  function* convert(cursor): Steps<void> {
    cursor.copy();
    yield* passCounted(cursor, STREAM_NODE_UNIT);
    yield* passUnits(cursor, 3, LENGTHS);
    if (from >= 19) yield* part(cursor, to >= 19, passUnits(cursor, 5, LENGTHS));
    for (let left = yield* readLength(cursor); left > 0; left -= 1) {
      yield* passString(cursor);
      yield* passUnits(cursor, 2, LENGTHS);
      if (from >= 19) yield* part(cursor, to >= 19, passUnits(cursor, 1, LENGTHS));
      yield* passCounted(cursor, PENDING_UNIT);
      yield* passConsumers(cursor, from, to);
    }
    if (from >= 26) yield* part(cursor, to >= 26, passIdempotency(cursor));
    cursor.stop();
  };
