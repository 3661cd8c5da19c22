import { len } from '../rdb-builder.ts';

/** A compressed string as it stands in an RDB, and who reads it. */
export interface PackedString {
  readonly name: string;
  readonly bytes: Buffer;
  readonly server: boolean;
  readonly tidemark: boolean;
}

const packed = (plain: number, ...block: readonly number[]): Buffer =>
  Buffer.concat([Buffer.of(0xc3), len(block.length), len(plain), Buffer.from(block)]);

const all =
  (server: boolean, tidemark: boolean) =>
  ([name, bytes]: readonly [string, Buffer]): PackedString => ({ name, bytes, server, tidemark });

/**
 * Every way in which a block can miss what it claims, and what lies just within. In a block, 0x00
 * is a run of one literal, 0x20 a reference of three bytes, 0xe0 a reference with a byte for its length.
 */
export const PACKED_STRINGS: readonly PackedString[] = [
  ...(
    [
      ['nothing, for nothing', packed(0)],
      ['one literal', packed(1, 0, 97)],
      ['a reference to the first byte', packed(5, 1, 97, 98, 0x20, 1)],
      ['a reference over itself', packed(4, 0, 97, 0x20, 0)],
      ['the shortest reference with a length', packed(10, 0, 97, 0xe0, 0, 0)],
      ['the longest reference', packed(265, 0, 97, 0xe0, 255, 0)],
    ] as const
  ).map(all(true, true)),
  ...(
    [
      ['nothing, for one byte', packed(1)],
      ['less than it claims', packed(2, 0, 97)],
      ['less than it claims by far', packed(264, 0, 97)],
      ['a literal more than it claims', packed(1, 0, 97, 0, 97)],
      ['a literal run over what it claims', packed(1, 1, 97, 98)],
      ['a reference over what it claims', packed(3, 0, 97, 0x20, 0)],
      ['all it claims, and a byte behind', packed(1, 0, 97, 0)],
      ['literals that the block does not hold', packed(2, 1, 97)],
      ['a reference before any byte', packed(3, 0x20, 0)],
      ['a reference before the first byte', packed(4, 0, 97, 0x20, 1)],
      ['a reference without its distance', packed(4, 0, 97, 0x20)],
      ['a reference without its length', packed(10, 0, 97, 0xe0)],
      ['a reference with a length, without its distance', packed(10, 0, 97, 0xe0, 0)],
    ] as const
  ).map(all(false, false)),
  // A server's decoder answers 0 when it fails, and the server compares that with the claim.
  ...(
    [
      ['a literal, for nothing', packed(0, 0, 97)],
      ['a reference, for nothing', packed(0, 0x20, 0)],
      ['half a reference, for nothing', packed(0, 0xe0)],
    ] as const
  ).map(all(true, false)),
];
