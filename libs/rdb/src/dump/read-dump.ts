import { Crc64, IntegrityError } from '@tidemark/core';
import { OPCODE } from '../format/opcodes.ts';
import {
  isKnownVersion,
  type RdbProduct,
  typeName,
  typeVersion,
  VERSION_VALKEY_FIRST,
} from '../format/types.ts';
import { ChunkCursor, type Steps } from '../scan/cursor.ts';
import { hexByte, rdbFault } from '../scan/faults.ts';
import { layoutsOf } from '../scan/layout.ts';
import { passKeyMeta, passValue } from '../scan/values.ts';

/** RDB version (2 bytes, little endian) and CRC64 (8) at the end of a payload. */
const FOOTER_BYTES = 10;
const VERSION_BYTES = 2;

/** Where the parts of a DUMP payload stand. Ends are exclusive. */
export interface DumpFacts {
  /** By the version: from 80 on Valkey's own numbering of types. */
  readonly product: RdbProduct;
  /** RDB version of the server that wrote it, or what a writer thought enough. */
  readonly version: number;
  /** `absent`: eight zero bytes, which Redis from 8.6 on takes and others refuse. */
  readonly checksum: 'verified' | 'absent';
  readonly type: number;
  /** The KEY_META block (Redis 8.6) with its opcode, or null. */
  readonly keyMeta: { readonly start: number; readonly end: number } | null;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Bytes between value and footer: servers do not look at them. */
  readonly extraBytes: number;
}

/**
 * Finds the parts of a payload as DUMP gives and RESTORE takes it, and checks it whole.
 * @throws FormatError `TM_RDB_TRUNCATED`, `TM_RDB_VERSION`, `TM_RDB_TYPE`, and what values give
 *   (`TM_RDB_LENGTH`, `TM_RDB_LIMIT`, `TM_RDB_OPCODE`), IntegrityError `TM_RDB_CHECKSUM`; with the
 *   offset in the payload.
 * @see redis src/cluster.c, createDumpPayload and verifyDumpPayload
 */
export function readDumpPayload(payload: Uint8Array): DumpFacts {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const end = bytes.length - FOOTER_BYTES;
  if (end < 1) throw cutShort(bytes.length);
  const version = bytes.readUInt16LE(end);
  const product = version >= VERSION_VALKEY_FIRST ? 'valkey' : 'redis';
  if (!isKnownVersion(product, version)) {
    throw rdbFault('TM_RDB_VERSION', `RDB version ${version} of a payload is not known`, end, {
      context: { version },
    });
  }
  const checksum = checkSum(bytes, end);
  const cursor = new ChunkCursor();
  cursor.feed(bytes.subarray(0, end));
  const result = readParts(cursor, product).next();
  if (result.done !== true) throw cutShort(end);
  const parts = result.value;
  return { product, version, checksum, ...parts, extraBytes: end - parts.valueEnd };
}

function cutShort(offset: number): Error {
  return rdbFault('TM_RDB_TRUNCATED', `a payload is cut short at byte ${offset}`, offset);
}

function checkSum(bytes: Buffer, end: number): DumpFacts['checksum'] {
  const crcAt = end + VERSION_BYTES;
  const stored = bytes.subarray(crcAt);
  if (stored.every((byte) => byte === 0)) return 'absent';
  const crc = new Crc64();
  crc.update(bytes.subarray(0, crcAt));
  if (crc.digestBytes().equals(stored)) return 'verified';
  throw new IntegrityError('TM_RDB_CHECKSUM', 'the checksum of a payload does not hold', {
    context: { offset: crcAt },
  });
}

type Parts = Pick<DumpFacts, 'type' | 'keyMeta' | 'valueStart' | 'valueEnd'>;

function* readParts(cursor: ChunkCursor, product: RdbProduct): Steps<Parts> {
  let keyMeta: DumpFacts['keyMeta'] = null;
  if (product === 'redis' && cursor.bytes[0] === OPCODE.keyMetaOrSlotImport) {
    cursor.at = 1;
    yield* passKeyMeta(cursor);
    keyMeta = { start: 0, end: cursor.at };
  }
  while (cursor.at >= cursor.end) yield;
  const typeAt = cursor.at;
  const type = cursor.bytes[typeAt] as number;
  const layout = layoutsOf(product)[type];
  if (layout === undefined || typeVersion(product, type) === 0) {
    const name = typeName(product, type);
    const message = `value type ${hexByte(type)} (${name ?? 'not known'}) is not read`;
    throw rdbFault('TM_RDB_TYPE', message, typeAt, { context: { type, name } });
  }
  cursor.at += 1;
  const valueStart = cursor.at;
  yield* passValue(cursor, type, layout, () => undefined);
  return { type, keyMeta, valueStart, valueEnd: cursor.at };
}
