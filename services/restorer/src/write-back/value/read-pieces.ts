import type { UndoPiece } from '@tidemark/archive';
import { NodeError } from '@tidemark/core';
import { nextStreamId } from '../../compare/stream-facts.ts';
import type { Side } from '../compare/side.ts';
import { ContentSum } from './content-digest.ts';
import { bytesOf, cutPieces, PIECE_BYTES, PieceSource } from './piece-source.ts';
import { readStream } from './read-stream.ts';

/** A command without the name of its key that builds a part of a value. */
export type ValuePiece = UndoPiece;

/** No digest: what it is held against is never equal. */
const NO_DIGEST: Buffer = Buffer.alloc(32);

/** Place of the time among the words of an XCLAIM. */
const CLAIM_TIME = 6;

/** The pieces of a value; `digest` tells their content once all were read. */
export interface PieceReading {
  pieces(): AsyncGenerator<ValuePiece>;
  digest(): Buffer;
}

/**
 * Reads a large value as commands that build it, each of about 1 MiB. Memory is one piece, unless an
 * element alone is larger.
 *
 * Whoever writes to the value meanwhile is seen in part: the caller watches the key.
 * @throws NodeError `TM_NODE_REPLY` for a value of a module, which no command gives in pieces; what
 *   the server answers.
 */
export function readPieces(side: Side, db: number, key: Buffer, type: string): PieceReading {
  const sum = new ContentSum();
  const source = new PieceSource(side, db, key);
  let exact = true;
  const reader = READERS[type];
  return {
    async *pieces() {
      if (reader === undefined) {
        throw new NodeError('TM_NODE_REPLY', `a value of type ${type} cannot be read in pieces`, {
          context: { type, db },
        });
      }
      exact = yield* reader(source, sum);
    },
    digest: () => (exact ? sum.digest() : NO_DIGEST),
  };
}

/** Gives pieces; returns whether each element came once, so that the sum means something. */
type Reader = (source: PieceSource, sum: ContentSum) => AsyncGenerator<ValuePiece, boolean>;

const READERS: Readonly<Record<string, Reader>> = {
  string: readString,
  list: readList,
  set: readSet,
  zset: readSortedSet,
  hash: readHash,
  async *stream(source, sum) {
    sum.begin('stream');
    for await (const piece of readStream(source, nextStreamId)) {
      for (const [i, word] of [Buffer.from(piece.command), ...piece.args].entries()) {
        // Times of delivery are told as ages: not the same at every reading.
        if (piece.command !== 'XCLAIM' || i !== CLAIM_TIME) sum.part(word, 0, word.length);
      }
      yield piece;
    }
    sum.endGroup();
    return true;
  },
};

const piece = (command: string, args: readonly Buffer[]): ValuePiece => ({
  kind: 'piece',
  command,
  args,
});

async function* readString(source: PieceSource, sum: ContentSum): AsyncGenerator<ValuePiece, true> {
  sum.begin('string');
  const length = await source.count('STRLEN');
  for (let start = 0; start < length; start += PIECE_BYTES) {
    const bytes = (await source.ask('GETRANGE', start, start + PIECE_BYTES - 1)) as Buffer;
    sum.part(bytes, 0, bytes.length);
    yield piece('APPEND', [bytes]);
  }
  sum.endGroup();
  return true;
}

async function* readList(source: PieceSource, sum: ContentSum): AsyncGenerator<ValuePiece, true> {
  sum.begin('list');
  const length = await source.count('LLEN');
  for (let start = 0; start < length;) {
    const page = (await source.ask('LRANGE', start, start + source.page - 1)) as readonly Buffer[];
    if (page.length === 0) break;
    start += page.length;
    source.learn(bytesOf(page), page.length);
    for (const element of page) addGroup(sum, element);
    for (const args of cutPieces(page, 1)) yield piece('RPUSH', args);
  }
  return true;
}

async function* readSet(source: PieceSource, sum: ContentSum): AsyncGenerator<ValuePiece, boolean> {
  sum.begin('set');
  for await (const flat of source.scan('SSCAN')) {
    for (const member of flat) addGroup(sum, member);
    for (const args of cutPieces(flat, 1)) yield piece('SADD', args);
  }
  return sum.groups === (await source.count('SCARD'));
}

async function* readSortedSet(
  source: PieceSource,
  sum: ContentSum,
): AsyncGenerator<ValuePiece, boolean> {
  sum.begin('zset');
  for await (const flat of source.scan('ZSCAN')) {
    const turned: Buffer[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const [member, score] = flat.slice(at, at + 2) as [Buffer, Buffer];
      addGroup(sum, member, doubleBytes(score.toString('latin1')));
      turned.push(score, member);
    }
    for (const args of cutPieces(turned, 2)) yield piece('ZADD', args);
  }
  return sum.groups === (await source.count('ZCARD'));
}

/** Expiries of fields are set once their fields are there; one that has passed takes its field away. */
async function* readHash(
  source: PieceSource,
  sum: ContentSum,
): AsyncGenerator<ValuePiece, boolean> {
  sum.begin('hash');
  const { fieldExpiry } = source.side.abilities;
  for await (const flat of source.scan('HSCAN')) {
    for (const args of cutPieces(flat, 2)) {
      const fields = args.filter((_, i) => i % 2 === 0);
      const expiries = fieldExpiry ? await fieldExpiries(source, fields) : [];
      for (const [i, field] of fields.entries()) {
        addGroup(sum, field, args[2 * i + 1] ?? Buffer.alloc(0), timeBytes(expiries[i] ?? 0));
      }
      yield piece('HSET', args);
      yield* expiryPieces(fields, expiries);
    }
  }
  return sum.groups === (await source.count('HLEN'));
}

async function fieldExpiries(
  source: PieceSource,
  fields: readonly Buffer[],
): Promise<readonly number[]> {
  const found = await source.ask('HPEXPIRETIME', 'FIELDS', fields.length, ...fields);
  return (found as readonly number[]).map((expiryMs) => Math.max(0, expiryMs));
}

function* expiryPieces(
  fields: readonly Buffer[],
  expiries: readonly number[],
): Generator<ValuePiece> {
  const byTime = new Map<number, Buffer[]>();
  for (const [i, field] of fields.entries()) {
    const expiryMs = expiries[i] ?? 0;
    if (expiryMs > 0) byTime.set(expiryMs, [...(byTime.get(expiryMs) ?? []), field]);
  }
  for (const [expiryMs, some] of byTime) {
    const head = [String(expiryMs), 'FIELDS', String(some.length)].map((word) => Buffer.from(word));
    yield piece('HPEXPIREAT', [...head, ...some]);
  }
}

function addGroup(sum: ContentSum, ...parts: readonly Buffer[]): void {
  for (const part of parts) sum.part(part, 0, part.length);
  sum.endGroup();
}

function doubleBytes(text: string): Buffer {
  const bytes = Buffer.alloc(8);
  const infinite = /^[+-]?inf/i.test(text);
  bytes.writeDoubleLE(infinite ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text));
  return bytes;
}

function timeBytes(expiryMs: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(expiryMs));
  return bytes;
}
