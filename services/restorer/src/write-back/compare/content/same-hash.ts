import type { Argument } from '@tidemark/client';
import type { Side } from '../side.ts';
import { askNumbers, pageOf, PIECE_BYTES, sameReply, type ValuePair } from './value-pair.ts';

/** A field that is not there, as HPEXPIRETIME answers. */
const NO_FIELD = -2;

/**
 * Compares two hashes: fields, values and, where both servers know them, expiries of fields.
 *
 * Where fields can expire their number says nothing: a server may still count some that it shows to
 * nobody. Then the fields of either side are looked up on the other.
 */
export async function sameHash(pair: ValuePair): Promise<boolean> {
  const { then, live } = pair;
  const [length, other] = await askNumbers(pair, 'HLEN');
  const fieldExpiry = then.abilities.fieldExpiry && live.abilities.fieldExpiry;
  if (length !== other && !fieldExpiry) return false;
  const page = pageOf(pair, Math.min(length, other));
  for (const [side, beside] of [[then, live] as const, [live, then] as const]) {
    if (!side.abilities.fieldExpiry || beside.abilities.fieldExpiry) continue;
    // What the other server does not know none of its fields can have.
    if (await anyFieldExpires(side, pair, page)) return false;
  }
  const shown = await fieldsIn(pair, page, fieldExpiry);
  if (shown === null) return false;
  return (shown === length && length === other) || noFieldsMore(pair, page);
}

/**
 * Looks whether every field of `then` is in `live`, with the same value and expiry.
 * @returns How many fields `then` shows; null when one differs.
 */
async function fieldsIn(
  pair: ValuePair,
  page: number,
  fieldExpiry: boolean,
): Promise<number | null> {
  const { then, live, db, key } = pair;
  let shown = 0;
  for await (const flat of scanHash(then, pair, { page, values: true })) {
    const fields = flat.filter((_, i) => i % 2 === 0);
    const values = flat.filter((_, i) => i % 2 === 1);
    const lengths = await live.askAll(
      db,
      fields.map((field) => ['HSTRLEN', key, field]),
    );
    // What differs in length, or is not there, is not read.
    if (values.some((value, i) => value.length !== lengths[i])) return null;
    shown += fields.length;
    const bytes = values.reduce((sum, value) => sum + value.length, 0);
    const found = await live.ask(db, ['HMGET', key, ...fields], bytes);
    if (!sameReply(found, values)) return null;
    if (!fieldExpiry) continue;
    const words: readonly Argument[] = ['HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields];
    const [a, b] = await Promise.all([then.ask(db, words), live.ask(db, words)]);
    if (!sameReply(a, b)) return null;
  }
  return shown;
}

async function anyFieldExpires(side: Side, pair: ValuePair, page: number): Promise<boolean> {
  const { db, key } = pair;
  for await (const fields of scanHash(side, pair, { page, values: false })) {
    const words: readonly Argument[] = ['HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields];
    const found = (await side.ask(db, words)) as readonly number[];
    if (found.some((expiryMs) => expiryMs >= 0)) return true;
  }
  return false;
}

/** Whether every field of `live` is in `then`. */
async function noFieldsMore(pair: ValuePair, page: number): Promise<boolean> {
  const { then, live, db, key } = pair;
  for await (const fields of scanHash(live, pair, { page, values: false })) {
    const words: readonly Argument[] = ['HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields];
    const found = (await then.ask(db, words)) as readonly number[];
    if (found.includes(NO_FIELD)) return false;
  }
  return true;
}

/** Whether a server shows any field of a hash. */
export async function showsFields(side: Side, db: number, key: Buffer): Promise<boolean> {
  let cursor = '0';
  do {
    const [next, page] = (await side.ask(db, ['HSCAN', key, cursor])) as [Buffer, unknown[]];
    if (page.length > 0) return true;
    cursor = next.toString();
  } while (cursor !== '0');
  return false;
}

/** Fields, with values by turns, in pages; small hashes come whole from the server. */
async function* scanHash(
  side: Side,
  { db, key }: ValuePair,
  { page, values }: { readonly page: number; readonly values: boolean },
): AsyncGenerator<readonly Buffer[]> {
  const step = values ? 2 * page : page;
  let cursor = '0';
  do {
    const words = ['HSCAN', key, cursor, 'COUNT', page, ...(values ? [] : ['NOVALUES'])];
    const [next, flat] = (await side.ask(db, words, PIECE_BYTES)) as [Buffer, readonly Buffer[]];
    cursor = next.toString();
    for (let start = 0; start < flat.length; start += step) yield flat.slice(start, start + step);
  } while (cursor !== '0');
}
