import type { AdaptPayload, TargetDialect } from '@tidemark/aof';
import { Crc64, TidemarkError } from '@tidemark/core';
import { adaptDumpPayload, hasFieldTtl, type RdbProduct } from '@tidemark/rdb';
import { newExpiry, type TtlRule } from '../plan/ttl-rule.ts';
import { canLoadRdb, newestRdbVersion } from '../target/rdb-support.ts';

/** RDB version (2 bytes, little endian) and CRC64 at the end of a DUMP payload. */
const FOOTER_BYTES = 10;
const VERSION_BYTES = 2;
/** Opcode of a library of functions, and the RDB version that brought it. */
const FUNCTION2 = 245;
const FUNCTION2_VERSION = 10;
/** From here on a version is Valkey's own. */
const VALKEY_VERSION_MIN = 80;

/**
 * Changes payloads of RESTORE and FUNCTION RESTORE for a target.
 *
 * A server refuses a payload whose footer names a later RDB version than its own, whatever is in it.
 * The footer is then written anew with the lowest version that has the type, and a value whose type
 * the target does not know is converted as in a snapshot; else the command is refused by the name of
 * the type. Expiries of fields follow the TTL rule, as those of the key do.
 * @see redis src/cluster.c, verifyDumpPayload; valkey src/rdb.c, rdbIsVersionAccepted
 */
export function adaptPayloadFor(target: TargetDialect, ttl: TtlRule): AdaptPayload {
  return (payload, holds) => {
    if (payload.length < FOOTER_BYTES + 1) return { refused: 'its payload is cut short' };
    const end = payload.length - FOOTER_BYTES;
    const version = payload.readUInt16LE(end);
    const product: RdbProduct = version >= VALKEY_VERSION_MIN ? 'valkey' : 'redis';
    const loads = canLoadRdb(target, { product, version });
    if (holds === 'functions') return loads ? null : adaptFunctions(payload, end, target);
    const expires = ttl.mode !== 'absolute' && hasFieldTtl(product, payload.readUInt8(0));
    if (loads && !expires) return null;
    return adaptValue(payload, target, expires ? ttl : null);
  };
}

function adaptValue(
  payload: Buffer,
  target: TargetDialect,
  ttl: TtlRule | null,
): Buffer | { readonly refused: string } {
  try {
    return adaptDumpPayload(payload, {
      product: target.product,
      version: newestRdbVersion(target),
      ...(ttl === null ? {} : { newExpiry: (expiryMs: number) => newExpiry(ttl, expiryMs) }),
    });
  } catch (error) {
    if (error instanceof TidemarkError) return { refused: `of its payload: ${error.message}` };
    throw error;
  }
}

function adaptFunctions(
  payload: Buffer,
  end: number,
  target: TargetDialect,
): Buffer | { readonly refused: string } {
  const known = payload.readUInt8(0) === FUNCTION2;
  if (!known || newestRdbVersion(target) < FUNCTION2_VERSION) {
    return {
      refused:
        'its payload holds functions, the target reads RDB versions up to ' +
        String(newestRdbVersion(target)),
    };
  }
  const changed = Buffer.from(payload);
  changed.writeUInt16LE(FUNCTION2_VERSION, end);
  const crc = new Crc64();
  crc.update(changed.subarray(0, end + VERSION_BYTES));
  changed.writeBigUInt64LE(crc.digest(), end + VERSION_BYTES);
  return changed;
}
