import { OPCODE } from './opcodes.ts';
import { VERSION_VALKEY_FIRST } from './types.ts';

/** The nine bytes an RDB begins with. */
export function encodeHeader(version: number): Buffer {
  return version >= VERSION_VALKEY_FIRST
    ? Buffer.from(`VALKEY${String(version).padStart(3, '0')}`, 'latin1')
    : Buffer.from(`REDIS${String(version).padStart(4, '0')}`, 'latin1');
}

/** A length (a safe integer) in its shortest form. */
export function encodeLength(length: number): Buffer {
  if (length < 0x40) return Buffer.of(length);
  if (length < 0x4000) return Buffer.of(0x40 | (length >> 8), length & 0xff);
  if (length > 0xffff_ffff) {
    const wide = Buffer.alloc(9, 0x81);
    wide.writeBigUInt64BE(BigInt(length), 1);
    return wide;
  }
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
  putInt64(bytes, 1, expiryMs);
  return bytes;
}

/** A safe integer as 64 bits, signed, little endian. */
export function encodeInt64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  putInt64(bytes, 0, value);
  return bytes;
}

function putInt64(bytes: Buffer, at: number, value: number): void {
  bytes.writeInt32LE(value | 0, at);
  bytes.writeInt32LE(Math.floor(value / 4_294_967_296), at + 4);
}
