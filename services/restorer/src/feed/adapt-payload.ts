import type { AdaptPayload, TargetDialect } from '@tidemark/aof';
import { Crc64 } from '@tidemark/core';
import { typeName, typeVersion, type RdbProduct } from '@tidemark/rdb';
import { canLoadRdb, newestRdbVersion } from '../target/rdb-support.ts';

/** RDB version (2 bytes, little endian) and CRC64 at the end of a DUMP payload. */
const FOOTER_BYTES = 10;
const VERSION_BYTES = 2;
/** Opcode of a library of functions, and the RDB version that brought it. */
const FUNCTION2 = 245;
const FUNCTION2_VERSION = 10;
/** Opcode KEY_META of Redis, which may stand before the type. */
const KEY_META = 243;
/** From here on a version is Valkey's own. */
const VALKEY_VERSION_MIN = 80;

/**
 * Changes payloads of RESTORE and FUNCTION RESTORE for a target.
 *
 * A server refuses a payload whose footer names a later RDB version than its own, whatever is in it.
 * When the target knows the value's type, the footer is written anew with the lowest version that
 * has the type; else the command is refused by the name of the type.
 * @see redis src/cluster.c, verifyDumpPayload; valkey src/rdb.c, rdbIsVersionAccepted
 */
export function adaptPayloadFor(target: TargetDialect): AdaptPayload {
  return (payload, holds) => {
    if (payload.length < FOOTER_BYTES + 1) return { refused: 'its payload is cut short' };
    const end = payload.length - FOOTER_BYTES;
    const version = payload.readUInt16LE(end);
    const product: RdbProduct = version >= VALKEY_VERSION_MIN ? 'valkey' : 'redis';
    if (canLoadRdb(target, { product, version })) return null;
    const needed = neededVersion(payload, product, holds);
    if (needed.version > 0 && canLoadRdb(target, { product, version: needed.version })) {
      return withFooter(payload, end, needed.version);
    }
    return {
      refused:
        `its payload holds ${needed.name}, the target reads RDB versions up to ` +
        String(newestRdbVersion(target)),
    };
  };
}

function neededVersion(
  payload: Buffer,
  product: RdbProduct,
  holds: 'value' | 'functions',
): { readonly name: string; readonly version: number } {
  const type = payload.readUInt8(0);
  if (holds === 'functions') {
    const known = type === FUNCTION2;
    return { name: 'functions', version: known ? FUNCTION2_VERSION : 0 };
  }
  if (product === 'redis' && type === KEY_META) return { name: 'KEY_META', version: 0 };
  const name = typeName(product, type) ?? `type ${String(type)}`;
  return { name, version: typeVersion(product, type) };
}

function withFooter(payload: Buffer, end: number, version: number): Buffer {
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(version, end);
  const crc = new Crc64();
  crc.update(changed.subarray(0, end + VERSION_BYTES));
  changed.writeBigUInt64LE(crc.digest(), end + VERSION_BYTES);
  return changed;
}
