import { isKnownVersion, type RdbProduct } from '../format/types.ts';
import type { ChunkCursor, Steps } from './cursor.ts';
import { rdbFault } from './faults.ts';
import { readByte } from './steps.ts';

/** What the first nine bytes say. */
export interface RdbHeader {
  readonly product: RdbProduct;
  readonly version: number;
}

function notRdb(offset: number): Error {
  return rdbFault('TM_RDB_MAGIC', 'the file does not begin like an RDB', offset);
}

/** `REDIS` and four digits, or `VALKEY` and three. */
export function* readHeader(cursor: ChunkCursor): Steps<RdbHeader> {
  const first = yield* readByte(cursor);
  if (first !== 0x52 && first !== 0x56) throw notRdb(0);
  const product = first === 0x52 ? 'redis' : 'valkey';
  const magic = first === 0x52 ? 'REDIS' : 'VALKEY';
  for (let at = 1; at < magic.length; at += 1) {
    const byte = yield* readByte(cursor);
    if (byte === magic.charCodeAt(at)) continue;
    if (product === 'valkey' && at === 1 && byte === 0x4b) {
      throw rdbFault('TM_RDB_MAGIC', 'the file is a compressed RDB (VKCS envelope)', 0, {
        hint: 'switch RDB compression as a whole off on the source; strings may stay compressed',
      });
    }
    throw notRdb(at);
  }
  let version = 0;
  for (let at = magic.length; at < 9; at += 1) {
    const digit = (yield* readByte(cursor)) - 0x30;
    if (digit < 0 || digit > 9) throw notRdb(at);
    version = version * 10 + digit;
  }
  if (!isKnownVersion(product, version)) {
    throw rdbFault('TM_RDB_VERSION', `RDB version ${version} of ${magic} is not known`, 0, {
      context: { version, product },
    });
  }
  return { product, version };
}
