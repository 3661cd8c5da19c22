import { OPCODE } from '../format/opcodes.ts';
import { VERSION_VALKEY_FIRST } from '../format/types.ts';

/** The nine bytes an RDB begins with. */
export function encodeHeader(version: number): Buffer {
  return version >= VERSION_VALKEY_FIRST
    ? Buffer.from(`VALKEY${String(version).padStart(3, '0')}`, 'latin1')
    : Buffer.from(`REDIS${String(version).padStart(4, '0')}`, 'latin1');
}

/** A length below 2^32 in its shortest form. */
export function encodeLength(length: number): Buffer {
  if (length < 0x40) return Buffer.of(length);
  if (length < 0x4000) return Buffer.of(0x40 | (length >> 8), length & 0xff);
  const bytes = Buffer.alloc(5, 0x80);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** The block that selects a database. */
export function encodeSelectDb(db: number): Buffer {
  return Buffer.concat([Buffer.of(OPCODE.selectDb), encodeLength(db)]);
}

/** The block that gives a key an expiry in milliseconds (a safe integer). */
export function encodeExpiry(expiryMs: number): Buffer {
  const bytes = Buffer.allocUnsafe(9);
  bytes[0] = OPCODE.expiryMs;
  bytes.writeInt32LE(expiryMs | 0, 1);
  bytes.writeInt32LE(Math.floor(expiryMs / 4_294_967_296), 5);
  return bytes;
}
