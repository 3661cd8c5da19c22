import { int64, len, listpack, type ListpackItem, str } from '../rdb-builder.ts';

/** Who refuses a value: nobody; every server and we; Valkey from 9.1 and we. */
export type Refusal = 'nobody' | 'all' | 'newest';

/** A value at the edge of what servers load, and who refuses it. */
export interface CraftedValue {
  readonly name: string;
  readonly type: number;
  readonly value: Buffer;
  readonly refused: Refusal;
}

const cat = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);
const of =
  (type: number, refused: Refusal) =>
  ([name, value]: readonly [string, Buffer]): CraftedValue => ({ name, type, value, refused });

const id = (ms: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(BigInt(ms));
  return bytes;
};

/** A stream of one node, without groups; `entries` is what it claims to have. */
const stream = (entries: number, node: Buffer): Buffer =>
  cat(len(1), str(id(1)), str(node), len(entries), len(1), len(0), len(0));

const node = (...items: readonly ListpackItem[]): Buffer => listpack(items);
const counted = (elements: number): Buffer =>
  listpack([1, 0, 1, 'a', 0, 2, 0, 0, 'b', 4], elements);

const STREAMS: readonly CraftedValue[] = [
  ...(
    [
      ['a stream of one entry', stream(1, counted(10))],
      ['a node whose number of elements is not known', stream(1, counted(65_535))],
      ['a node of a deleted entry', stream(0, node(0, 1, 1, 'a', 0, 3, 0, 0, 'b', 4))],
      ['a node without fields', stream(1, node(1, 0, 0, 0, 2, 0, 0, 3))],
      ['counts as text', stream(1, node('1', '0', '1', 'a', '0', '2', '0', '0', 'b', '4'))],
    ] as const
  ).map(of(15, 'nobody')),
  ...(
    [
      ['a node of -1 fields', stream(1, node(1, 0, -1, 0, 2, 0, 0, 2))],
      ['an entry of -1 fields', stream(1, node(1, 0, 1, 'a', 0, 0, 0, 0, -1, 2))],
      ['a node of -1 entries', stream(0, node(-1, 0, 1, 'a', 0))],
    ] as const
  ).map(of(15, 'all')),
  ...(
    [
      ['a node that counts fewer elements', stream(1, counted(9))],
      ['a node that counts more elements', stream(1, counted(500))],
      ['a deleted entry that is not', stream(0, node(0, 1, 1, 'a', 0, 2, 0, 0, 'b', 4))],
      ['an uncounted deleted entry', stream(1, node(1, 0, 1, 'a', 0, 3, 0, 0, 'b', 4))],
      ['-1 deleted entries', stream(2, node(2, -1, 1, 'a', 0, 2, 0, 0, 'b', 4))],
      ['a stream that claims fewer entries', stream(0, counted(10))],
      ['a stream that claims more entries', stream(2, counted(10))],
    ] as const
  ).map(of(15, 'newest')),
];

const LATEST = 2 ** 48 - 1;
const fields = (earliest: number, expiry: number): Buffer =>
  cat(int64(earliest), len(1), len(expiry), str('f'), str('v'));
const packedFields = (earliest: number, ...items: readonly ListpackItem[]): Buffer =>
  cat(int64(earliest), str(listpack(items)));

const FIELDS: readonly CraftedValue[] = [
  ...(
    [
      ['a field that expires last of all', fields(LATEST, 1)],
      ['no field that expires, from a later time', fields(LATEST + 1, 0)],
    ] as const
  ).map(of(24, 'nobody')),
  ...(
    [
      ['a field that expires too late', fields(LATEST + 1, 1)],
      ['a field that expires too late by its own time', fields(1, LATEST + 1)],
      ['expiries from a time too late', fields(LATEST + 2, 0)],
      ['expiries from a time below zero', fields(-1, 1)],
    ] as const
  ).map(of(24, 'all')),
  ...(
    [
      ['fields by their expiry', packedFields(7, 'f', 'v', 7, 'g', 'v', 7, 'h', 'v', LATEST)],
      ['a field without expiry last', packedFields(7, 'f', 'v', 7, 'g', 'v', 0, 'h', 'v', 0)],
      ['an earliest expiry below zero', packedFields(-1, 'f', 'v', 7)],
      ['an earliest expiry that no field has', packedFields(2 ** 52, 'f', 'v', 7)],
    ] as const
  ).map(of(25, 'nobody')),
  ...(
    [
      ['a packed field behind a later one', packedFields(7, 'f', 'v', 8, 'g', 'v', 7)],
      ['a packed field behind one without expiry', packedFields(7, 'f', 'v', 0, 'g', 'v', 7)],
      ['a packed field that expires too late', packedFields(7, 'f', 'v', LATEST + 1)],
      ['a packed field that expires below zero', packedFields(7, 'f', 'v', -1)],
      ['an expiry that is text', packedFields(7, 'f', 'v', String(LATEST))],
    ] as const
  ).map(of(25, 'all')),
];

/** A stream of type 26, for Redis from 8.6 on: how long and how many ids are kept, producers. */
const producing = (seconds: number, ids: number, ...producers: readonly string[]): Buffer =>
  cat(
    ...[stream(1, counted(10)).subarray(0, -1), len(1), len(0), len(0), len(0), len(1), len(0)],
    ...[len(seconds), len(ids), len(producers.length)],
    ...producers.map((name) => cat(str(name), len(1), str('i'), len(1), len(0))),
    ...[len(1), len(0)],
  );

const PRODUCERS: readonly CraftedValue[] = [
  ...(
    [
      ['ids kept for the shortest time, and the fewest', producing(1, 1)],
      ['ids kept for the longest time, and the most', producing(86_400, 10_000, 'p', 'q')],
    ] as const
  ).map(of(26, 'nobody')),
  ...(
    [
      ['ids kept for no time', producing(0, 100)],
      ['ids kept for too long', producing(86_401, 100)],
      ['no ids kept', producing(100, 0)],
      ['too many ids kept', producing(100, 10_001)],
      ['a producer twice', producing(100, 100, 'p', 'p')],
    ] as const
  ).map(of(26, 'all')),
];

export const CRAFTED_VALUES: readonly CraftedValue[] = [...STREAMS, ...FIELDS, ...PRODUCERS];
