import { diffStream, nextStreamId } from '../../../compare/stream-facts.ts';
import { sameHash } from './same-hash.ts';
import {
  askBoth,
  askNumbers,
  pageOf,
  PIECE_BYTES,
  sameReply,
  type ValuePair,
} from './value-pair.ts';

/**
 * Compares a value piece by piece, ending with the first difference. A piece is about 1 MiB, unless
 * one element alone is larger: a server cannot be asked for a part of an element.
 *
 * Whoever writes to the value meanwhile may be seen in part: what is written later on has to be
 * compared again.
 * @param type - One of the server's own types.
 * @throws NodeError when a server leaves or refuses.
 */
export async function sameContent(pair: ValuePair, type: string): Promise<boolean> {
  switch (type) {
    case 'string':
      return sameString(pair);
    case 'list':
      return sameRanges(pair, 'LLEN', (start, end) => ['LRANGE', pair.key, start, end]);
    case 'zset':
      return sameRanges(pair, 'ZCARD', (start, end) => [
        ...['ZRANGE', pair.key, start, end, 'WITHSCORES'],
      ]);
    case 'set':
      return sameSet(pair);
    case 'hash':
      return sameHash(pair);
    case 'stream':
      return sameStream(pair);
    default:
      return false;
  }
}

async function sameString(pair: ValuePair): Promise<boolean> {
  const [length, other] = await askNumbers(pair, 'STRLEN');
  if (length !== other) return false;
  for (let start = 0; start < length; start += PIECE_BYTES) {
    const [a, b] = await askBoth(pair, ['GETRANGE', pair.key, start, start + PIECE_BYTES - 1]);
    if (!sameReply(a, b)) return false;
  }
  return true;
}

/** Lists and sorted sets have an order of their own. */
async function sameRanges(
  pair: ValuePair,
  lengthCommand: 'LLEN' | 'ZCARD',
  command: (start: number, end: number) => readonly (string | number | Buffer)[],
): Promise<boolean> {
  const [length, other] = await askNumbers(pair, lengthCommand);
  if (length !== other) return false;
  const page = pageOf(pair, length);
  for (let start = 0; start < length; start += page) {
    const [a, b] = await askBoth(pair, command(start, start + page - 1));
    const same = lengthCommand === 'LLEN' ? sameReply(a, b) : sameScores(a, b);
    if (!same) return false;
  }
  return true;
}

/** Servers write the same score in more ways than one. */
function sameScores(a: unknown, b: unknown): boolean {
  const [left, right] = [a as readonly Buffer[], b as readonly Buffer[]];
  if (left.length !== right.length) return false;
  return left.every((one, i) => {
    const other = right[i];
    if (other === undefined) return false;
    return one.equals(other) || (i % 2 === 1 && scoreOf(one) === scoreOf(other));
  });
}

function scoreOf(text: Buffer): number {
  const word = text.toString('latin1');
  if (/^[+-]?inf$/.test(word)) return word.startsWith('-') ? -Infinity : Infinity;
  return Number(word);
}

async function sameSet(pair: ValuePair): Promise<boolean> {
  const { then, live, db, key } = pair;
  const [length, other] = await askNumbers(pair, 'SCARD');
  if (length !== other) return false;
  const page = pageOf(pair, length);
  let cursor = '0';
  do {
    const words = ['SSCAN', key, cursor, 'COUNT', page];
    const [next, members] = (await then.ask(db, words)) as [Buffer, readonly Buffer[]];
    cursor = next.toString();
    for (let start = 0; start < members.length; start += page) {
      const some = members.slice(start, start + page);
      const found = live.abilities.manyMembers
        ? ((await live.ask(db, ['SMISMEMBER', key, ...some], PIECE_BYTES)) as readonly number[])
        : await live.askAll(
            db,
            some.map((member) => ['SISMEMBER', key, member]),
            PIECE_BYTES,
          );
      if (found.some((one) => one !== 1)) return false;
    }
  } while (cursor !== '0');
  return true;
}

async function sameStream(pair: ValuePair): Promise<boolean> {
  const { then, live, key } = pair;
  const [length, other] = await askNumbers(pair, 'XLEN');
  if (length !== other) return false;
  const page = pageOf(pair, length);
  let from = '-';
  for (;;) {
    const [a, b] = await askBoth(pair, ['XRANGE', key, from, '+', 'COUNT', page]);
    if (!sameReply(a, b)) return false;
    const entries = a as readonly (readonly [Buffer, unknown])[];
    const last = entries.at(-1);
    if (last === undefined || entries.length < page) break;
    from = nextStreamId(last[0].toString());
  }
  // XRANGE selected the database on both connections.
  return (await diffStream({ a: then.client, b: live.client }, key)) === null;
}
