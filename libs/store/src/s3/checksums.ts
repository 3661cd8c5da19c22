import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** CRC-32 of more bytes, as a number. */
export function addCrc32(bytes: Uint8Array, before = 0): number {
  return crc32(bytes, before);
}

/** A CRC-32 as S3 writes it: base64 of its four bytes, the highest first. */
export function crc32Text(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString('base64');
}

/** MD5 as S3 takes it: a sum against changes on the way, not against an enemy. */
export function md5Of(bytes: Uint8Array): { readonly base64: string; readonly hex: string } {
  const digest = createHash('md5').update(bytes).digest();
  return { base64: digest.toString('base64'), hex: digest.toString('hex') };
}
