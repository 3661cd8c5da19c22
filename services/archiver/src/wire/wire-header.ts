import { FormatError } from '@tidemark/core';

/** What a file of the wire spool holds. */
export const WIRE_FILE = { stream: 1, snapshot: 2, aside: 3 } as const;

/** A number of {@link WIRE_FILE}. */
export type WireFileKind = (typeof WIRE_FILE)[keyof typeof WIRE_FILE];

/** Kinds of frames. */
export const WIRE_FRAME = { bytes: 1, end: 2 } as const;

/** The clear, authenticated front of a file (docs/formats/wire-spool.md). */
export interface WireHeader {
  readonly kind: WireFileKind;
  /** Id of the spool key, 32 hex digits. */
  readonly keyId: string;
  /** Random for each file, 32 bytes. */
  readonly salt: Buffer;
  readonly seq: number;
  /** Decimal. */
  readonly ino: string;
  /** Offset of the byte before the first one of a stream; of the state that a snapshot holds. */
  readonly start: bigint;
  readonly snapshotOffset: bigint | null;
  /** 40 hex digits. */
  readonly replid: string;
  readonly writer: string;
  /** Name of the file: a file cannot be put in another one's place. */
  readonly name: string;
}

/** `8B` and "TDW1", then what shows damage by text-mode transfers. */
const MAGIC = Buffer.from('8b544457310d0a1a', 'hex');
const VERSION = 1;
const FIXED_BYTES = 136;
/** Longest header: two names of 255 bytes. */
export const HEADER_BYTES_MAX = FIXED_BYTES + 2 * 256;
const NONE = 2n ** 64n - 1n;

/** The header as bytes, without the commitment that follows it. */
export function encodeWireHeader(header: WireHeader): Buffer {
  const writer = Buffer.from(header.writer, 'utf8');
  const name = Buffer.from(header.name, 'latin1');
  const bytes = Buffer.alloc(FIXED_BYTES + 2 + writer.length + name.length);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt8(VERSION, 8);
  bytes.writeUInt8(header.kind, 9);
  bytes.writeUInt16BE(bytes.length, 10);
  bytes.write(header.keyId, 16, 'hex');
  header.salt.copy(bytes, 32);
  bytes.writeBigUInt64BE(BigInt(header.seq), 64);
  bytes.writeBigUInt64BE(BigInt(header.ino), 72);
  bytes.writeBigUInt64BE(header.start, 80);
  bytes.writeBigUInt64BE(header.snapshotOffset ?? NONE, 88);
  bytes.write(header.replid, 96, 'latin1');
  let at = bytes.writeUInt8(writer.length, FIXED_BYTES);
  at += writer.copy(bytes, at);
  at = bytes.writeUInt8(name.length, at);
  name.copy(bytes, at);
  return bytes;
}

/**
 * Reads a header. Nothing in it is proven before the commitment holds.
 * @param bytes - The front of a file, as much as there is.
 * @throws FormatError `TM_SEAL_FORMAT`.
 */
export function parseWireHeader(bytes: Buffer): { header: WireHeader; length: number } {
  const length = bytes.length < FIXED_BYTES ? 0 : bytes.readUInt16BE(10);
  const kind = length === 0 ? 0 : bytes.readUInt8(9);
  const front = length > 0 && bytes.subarray(0, 8).equals(MAGIC) && bytes.readUInt8(8) === VERSION;
  const fits = length > FIXED_BYTES && length <= Math.min(bytes.length, HEADER_BYTES_MAX);
  if (!front || !fits || !isFileKind(kind)) throw noHeader();
  const writerEnd = FIXED_BYTES + 1 + bytes.readUInt8(FIXED_BYTES);
  if (writerEnd >= length || writerEnd + 1 + bytes.readUInt8(writerEnd) !== length)
    throw noHeader();
  const offset = bytes.readBigUInt64BE(88);
  const header = {
    kind,
    keyId: bytes.toString('hex', 16, 32),
    salt: Buffer.from(bytes.subarray(32, 64)),
    seq: Number(bytes.readBigUInt64BE(64)),
    ino: bytes.readBigUInt64BE(72).toString(),
    start: bytes.readBigUInt64BE(80),
    snapshotOffset: offset === NONE ? null : offset,
    replid: bytes.toString('latin1', 96, 136),
    writer: bytes.toString('utf8', FIXED_BYTES + 1, writerEnd),
    name: bytes.toString('latin1', writerEnd + 1, length),
  };
  return { header, length };
}

function isFileKind(kind: number): kind is WireFileKind {
  return kind === WIRE_FILE.stream || kind === WIRE_FILE.snapshot || kind === WIRE_FILE.aside;
}

function noHeader(): FormatError {
  return new FormatError('TM_SEAL_FORMAT', 'a file of the wire spool has no whole header', {
    context: { offset: 0 },
  });
}
