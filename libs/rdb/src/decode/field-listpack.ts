import { encodeInt64, encodeLength } from '../format/encode.ts';
import { FIELD_EXPIRY_MAX } from '../format/limits.ts';
import type { Steps } from '../scan/cursor.ts';
import { rdbFault } from '../scan/faults.ts';
import { passBytes } from '../scan/steps.ts';
import { ElementWriter } from './element-writer.ts';
import { type NewFieldExpiry, redisExpiry, ruledExpiry } from './field-expiry.ts';
import { buildListpack, encodeListpackInteger, type ListpackReader } from './listpack.ts';
import { readListpack } from './packed-string.ts';
import { countGroups, writeString } from './packed-values.ts';
import type { ConvertValue } from './value-converter.ts';
import type { ValueCursor } from './value-cursor.ts';

/** Field, value, expiry. */
const WIDTH = 3;
const NO_EXPIRY = -1;

function* readTriples(cursor: ValueCursor): Steps<{ listpack: ListpackReader; offset: number }> {
  yield* passBytes(cursor, 8);
  const { offset } = cursor;
  return { listpack: yield* readListpack(cursor), offset };
}

/** The expiry of the triple that the reader has come to the end of; null for none. */
function expiryOf(listpack: ListpackReader): number | null {
  const expiryMs = Number(listpack.integer);
  if (listpack.textStart >= 0 || expiryMs < 0 || expiryMs > FIELD_EXPIRY_MAX) {
    throw listpack.fault('has an expiry that is none', listpack.start);
  }
  return expiryMs === 0 ? null : expiryMs;
}

/** From HASH_LISTPACK_EX of Redis (25) to HASH_2 of Valkey (22). */
export const triplesToHash2 = (rule: NewFieldExpiry): ConvertValue =>
  function* convert(cursor): Steps<void> {
    const { listpack, offset } = yield* readTriples(cursor);
    cursor.write(encodeLength(countGroups(listpack, WIDTH, offset)));
    const out = new ElementWriter(cursor, listpack);
    while (listpack.next()) {
      out.string(listpack);
      out.string(listpack.need());
      out.int64(ruledExpiry(rule, expiryOf(listpack.need()), offset) ?? NO_EXPIRY);
    }
    out.flush();
  };

/**
 * From HASH_LISTPACK_EX of Redis (25) to a plain hash (4), for a server without expiries of fields.
 * @throws FormatError `TM_RDB_REWRITE` when a field has one.
 */
export const triplesToHash = (rule: NewFieldExpiry): ConvertValue =>
  function* convert(cursor): Steps<void> {
    const { listpack, offset } = yield* readTriples(cursor);
    cursor.write(encodeLength(countGroups(listpack, WIDTH, offset)));
    const out = new ElementWriter(cursor, listpack);
    while (listpack.next()) {
      out.string(listpack);
      out.string(listpack.need());
      if (ruledExpiry(rule, expiryOf(listpack.need()), offset) === null) continue;
      throw rdbFault('TM_RDB_REWRITE', 'a field has an expiry that the target cannot hold', offset);
    }
    out.flush();
  };

interface Triple {
  /** Field and value as they stand. */
  readonly pair: Uint8Array;
  /** 0 for none. */
  readonly expiryMs: number;
}

/** HASH_LISTPACK_EX of Redis (25) with other expiries; Redis wants the earliest first, none last. */
export const newTriples = (rule: NewFieldExpiry): ConvertValue =>
  function* convert(cursor): Steps<void> {
    const { listpack, offset } = yield* readTriples(cursor);
    const triples: Triple[] = [];
    while (listpack.next()) {
      const { start } = listpack;
      const { end } = listpack.need();
      const expiryMs = redisExpiry(ruledExpiry(rule, expiryOf(listpack.need()), offset), offset);
      triples.push({ pair: listpack.bytes.subarray(start, end), expiryMs });
    }
    const order = ({ expiryMs }: Triple): number => (expiryMs === 0 ? Infinity : expiryMs);
    triples.sort((a, b) => (order(a) < order(b) ? -1 : Number(order(a) > order(b))));
    const parts = triples.flatMap(({ pair, expiryMs }) => [pair, encodeListpackInteger(expiryMs)]);
    cursor.write(encodeInt64(triples[0]?.expiryMs ?? 0));
    writeString(cursor, buildListpack(parts, triples.length * WIDTH));
  };
