import { createHmac, timingSafeEqual } from 'node:crypto';
import { UsageError } from '@tidemark/core';

/** Bytes of a log entry's authenticator. */
export const LOG_MAC_BYTES = 32;

/**
 * Authenticates bytes of the event log: HMAC-SHA-256.
 * @param key - 32 bytes, from `KeyProvider.logKey`.
 * @returns 32 bytes.
 */
export function authenticateLogBytes(key: Buffer, bytes: Uint8Array): Buffer {
  if (key.length !== 32) throw new UsageError('TM_USAGE', 'a log key has 32 bytes');
  return createHmac('sha256', key).update(bytes).digest();
}

/**
 * Whether bytes were authenticated with this key; compares in constant time.
 * @param mac - As read; a length other than 32 is simply false.
 */
export function verifyLogBytes(key: Buffer, bytes: Uint8Array, mac: Uint8Array): boolean {
  const expected = authenticateLogBytes(key, bytes);
  return mac.length === LOG_MAC_BYTES && timingSafeEqual(expected, mac);
}
