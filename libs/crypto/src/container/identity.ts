import { FormatError, IntegrityError, UsageError } from '@tidemark/core';
import { FIXED_HEADER_BYTES, IDENTITY_BYTES_MAX } from './constants.ts';

/**
 * What an object is: authenticated, not secret. Names are `[a-zA-Z][a-zA-Z0-9_-]{0,63}`, values
 * well-formed text of at most 1,024 bytes of UTF-8; at most 32 pairs and 4,096 bytes encoded.
 */
export type Identity = Readonly<Record<string, string>>;

const NAME = /^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/;
const VALUE_BYTES_MAX = 1024;
const PAIRS_MAX = 32;

/**
 * Encodes an identity in its one canonical form: for each pair, sorted by the bytes of the name,
 * u16 length and name, u16 length and value (big-endian, UTF-8).
 * @throws UsageError `TM_USAGE` for a bad name or ill-formed text.
 * @throws FormatError `TM_SEAL_LIMIT` for too many pairs, too long a value or too long a whole.
 */
export function encodeIdentity(identity: Identity): Buffer {
  const names = Object.keys(identity).sort((a, b) => (a < b ? -1 : 1)); // ASCII: order of bytes
  limit('pairs', names.length, PAIRS_MAX);
  const parts: Buffer[] = [];
  for (const name of names) {
    if (!NAME.test(name)) throw new UsageError('TM_USAGE', 'an identity name that is not allowed');
    const text = identity[name] ?? '';
    const value = Buffer.from(text, 'utf8');
    if (value.toString('utf8') !== text) {
      throw new UsageError('TM_USAGE', `the identity value of ${name} is not well-formed text`);
    }
    limit(name, value.length, VALUE_BYTES_MAX);
    parts.push(u16(name.length), Buffer.from(name, 'latin1'), u16(value.length), value);
  }
  const bytes = Buffer.concat(parts);
  limit('identity', bytes.length, IDENTITY_BYTES_MAX);
  return bytes;
}

/**
 * Decodes an identity and refuses every encoding but the canonical one.
 * @param bytes - The identity field of a header, whole.
 * @throws FormatError `TM_SEAL_FORMAT` with the offset in the object, `TM_SEAL_LIMIT`.
 */
export function decodeIdentity(bytes: Uint8Array): Identity {
  limit('identity', bytes.length, IDENTITY_BYTES_MAX);
  const pairs: [string, string][] = [];
  let last = '';
  for (let at = 0; at < bytes.length;) {
    const nameBytes = field(bytes, at);
    const name = Buffer.from(nameBytes).toString('latin1');
    if (!NAME.test(name)) throw refused(at, 'an identity name that is not allowed');
    if (pairs.length > 0 && name <= last) throw refused(at, 'identity names are not in order');
    last = name;
    at += 2 + nameBytes.length;
    const value = field(bytes, at);
    limit(name, value.length, VALUE_BYTES_MAX);
    pairs.push([name, decodeText(value, at)]);
    limit('pairs', pairs.length, PAIRS_MAX);
    at += 2 + value.length;
  }
  return Object.fromEntries(pairs);
}

/**
 * Holds the identity found in an object against the one that was asked for.
 * @throws IntegrityError `TM_SEAL_IDENTITY` that names the first field that differs.
 */
export function assertSameIdentity(actual: Identity, expected: Identity): void {
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  for (const name of [...names].sort()) {
    const found = Object.hasOwn(actual, name) ? (actual[name] ?? null) : null;
    const wanted = Object.hasOwn(expected, name) ? (expected[name] ?? null) : null;
    if (found === wanted) continue;
    throw new IntegrityError('TM_SEAL_IDENTITY', `the object has another ${name} than asked for`, {
      context: { field: name, expected: wanted, actual: found },
      hint: 'the object was moved or replaced; see "tidemark repo verify"',
    });
  }
}

function field(bytes: Uint8Array, at: number): Uint8Array {
  if (at + 2 > bytes.length) throw refused(at, 'the identity ends within a length');
  const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  if (at + 2 + length > bytes.length) throw refused(at, 'an identity field passes the end');
  return bytes.subarray(at + 2, at + 2 + length);
}

function decodeText(bytes: Uint8Array, at: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw refused(at, 'an identity value is not UTF-8', cause);
  }
}

function refused(at: number, message: string, cause?: unknown): FormatError {
  return new FormatError('TM_SEAL_FORMAT', message, {
    context: { offset: FIXED_HEADER_BYTES + at },
    cause,
  });
}

function limit(what: string, actual: number, max: number): void {
  if (actual <= max) return;
  throw new FormatError('TM_SEAL_LIMIT', `${what} ${actual} exceeds limit ${max}`, {
    context: { field: what, actual, limit: max, offset: FIXED_HEADER_BYTES },
  });
}

function u16(value: number): Buffer {
  return Buffer.of(value >>> 8, value & 0xff);
}
