import type { UndoPiece } from '@tidemark/archive';
import { NodeError } from '@tidemark/core';
import { nextStreamId } from '../../compare/stream-facts.ts';
import type { Side } from '../compare/side.ts';
import { PieceSum } from './piece-sum.ts';
import { bytesOf, cutPieces, PIECE_BYTES, PieceSource } from './piece-source.ts';
import { readStream } from './read-stream.ts';

/** A command without the name of its key that builds a part of a value. */
export type ValuePiece = UndoPiece;

/** No digest: what it is held against is never equal. */
const NO_DIGEST: Buffer = Buffer.alloc(32);

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
  let digest = NO_DIGEST;
  return {
    async *pieces() {
      const reader = READERS[type];
      if (reader === undefined) {
        throw new NodeError('TM_NODE_REPLY', `a value of type ${type} cannot be read in pieces`, {
          context: { type, db },
        });
      }
      const sum = new PieceSum(type);
      const source = new PieceSource(side, db, key);
      for await (const piece of reader(source)) {
        sum.add(piece);
        yield piece;
      }
      const count = COUNTS[type];
      // A walk may give an element twice while the server moves its table: then the sum says nothing.
      const exact = count === undefined || sum.groups === (await source.count(count));
      digest = exact ? sum.digest() : NO_DIGEST;
    },
    digest: () => digest,
  };
}

type Reader = (source: PieceSource) => AsyncGenerator<ValuePiece>;

const COUNTS: Readonly<Record<string, string>> = { set: 'SCARD', zset: 'ZCARD', hash: 'HLEN' };

const READERS: Readonly<Record<string, Reader>> = {
  string: readString,
  list: readList,
  set: readSet,
  zset: readSortedSet,
  hash: readHash,
  stream: (source) => readStream(source, nextStreamId),
};

const piece = (command: string, args: readonly Buffer[]): ValuePiece => ({
  kind: 'piece',
  command,
  args,
});

async function* readString(source: PieceSource): AsyncGenerator<ValuePiece> {
  const length = await source.count('STRLEN');
  for (let start = 0; start < length; start += PIECE_BYTES) {
    const bytes = (await source.ask('GETRANGE', start, start + PIECE_BYTES - 1)) as Buffer;
    yield piece('APPEND', [bytes]);
  }
}

async function* readList(source: PieceSource): AsyncGenerator<ValuePiece> {
  const length = await source.count('LLEN');
  for (let start = 0; start < length;) {
    const page = (await source.ask('LRANGE', start, start + source.page - 1)) as readonly Buffer[];
    if (page.length === 0) break;
    start += page.length;
    source.learn(bytesOf(page), page.length);
    for (const args of cutPieces(page, 1)) yield piece('RPUSH', args);
  }
}

async function* readSet(source: PieceSource): AsyncGenerator<ValuePiece> {
  for await (const flat of source.scan('SSCAN')) {
    for (const args of cutPieces(flat, 1)) yield piece('SADD', args);
  }
}

async function* readSortedSet(source: PieceSource): AsyncGenerator<ValuePiece> {
  for await (const flat of source.scan('ZSCAN')) {
    const turned: Buffer[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const [member, score] = flat.slice(at, at + 2) as [Buffer, Buffer];
      turned.push(score, member);
    }
    for (const args of cutPieces(turned, 2)) yield piece('ZADD', args);
  }
}

/** Expiries of fields are set once their fields are there; one that has passed takes its field away. */
async function* readHash(source: PieceSource): AsyncGenerator<ValuePiece> {
  const { fieldExpiry } = source.side.abilities;
  for await (const flat of source.scan('HSCAN')) {
    for (const args of cutPieces(flat, 2)) {
      yield piece('HSET', args);
      if (!fieldExpiry) continue;
      const fields = args.filter((_, i) => i % 2 === 0);
      const found = await source.ask('HPEXPIRETIME', 'FIELDS', fields.length, ...fields);
      yield* expiryPieces(fields, found as readonly number[]);
    }
  }
}

function* expiryPieces(
  fields: readonly Buffer[],
  expiries: readonly number[],
): Generator<ValuePiece> {
  const byTime = new Map<number, Buffer[]>();
  for (const [i, field] of fields.entries()) {
    const expiryMs = expiries[i] ?? 0;
    if (expiryMs <= 0) continue;
    const some = byTime.get(expiryMs);
    if (some === undefined) byTime.set(expiryMs, [field]);
    else some.push(field);
  }
  for (const [expiryMs, some] of byTime) {
    const head = [String(expiryMs), 'FIELDS', String(some.length)].map((word) => Buffer.from(word));
    yield piece('HPEXPIREAT', [...head, ...some]);
  }
}
