import { createHmac } from 'node:crypto';
import { deriveBytes } from '../keys/key-derivation.ts';
import type { LogKey } from '../keys/provider.ts';

const HASH_DIGITS = 32;

/**
 * Names of keys of an instance as an audit and answers about an instance with TDE show them: who has the
 * key ring, or asks Tidemark with the right to see keys, can tell a name again; a list of names alone opens
 * none of them. The same name of the same instance is always the same text, and that of another
 * instance is another one. docs/formats/key-ring.md.
 *
 * @param logKey - Of the instance.
 * @returns For the bytes of a name `hmac:` and the first 128 bits, in hex, of HMAC-SHA-256 under a key
 *   of its own, derived from the log key.
 */
export function keyNameHasher(logKey: LogKey): (name: Uint8Array) => string {
  const key = deriveBytes(logKey.key, 'tidemark/key-name/v1', '', 32);
  return (name) =>
    `hmac:${createHmac('sha256', key).update(name).digest('hex').slice(0, HASH_DIGITS)}`;
}
