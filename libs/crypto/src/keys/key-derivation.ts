import { hkdfSync } from 'node:crypto';

/** One use of a root key. Labels never begin with each other's text and NUL. */
export type DerivationLabel =
  'tidemark/key-id/v1' | 'tidemark/key-name/v1' | 'tidemark/log/v1' | 'tidemark/ring/v1';

/**
 * HKDF-SHA-512 with an empty salt and info = label, NUL, subject.
 * @param byteCount - Bytes to derive.
 */
export function deriveBytes(
  key: Buffer,
  label: DerivationLabel,
  subject: string,
  byteCount: number,
): Buffer {
  const info = Buffer.from(`${label}\0${subject}`, 'utf8');
  return Buffer.from(hkdfSync('sha512', key, Buffer.alloc(0), info, byteCount));
}

/** Public id of a key that is nothing but 32 bytes in a file: 32 hex digits. */
export function keyIdOf(key: Buffer): string {
  return deriveBytes(key, 'tidemark/key-id/v1', '', 16).toString('hex');
}
