import { createHmac, timingSafeEqual } from 'node:crypto';
import { deriveBytes } from './key-derivation.ts';

/** One version of the key that wraps data keys. */
export interface RingKey {
  /** 1, 2, … without a gap. */
  readonly version: number;
  /** 32 hex digits, random. */
  readonly id: string;
  readonly createdMs: number;
  /** Base64 of a sealed container of 32 bytes. */
  readonly wrapped: string;
}

/** What ring.json says (docs/formats/key-ring.md). */
export interface RingFile {
  readonly format: 1;
  /** 32 hex digits, random; the key id of this ring towards the archive. */
  readonly ringId: string;
  /** Id derived from the root key, 32 hex digits. */
  readonly rootId: string;
  /** 1 at creation, one more with every change. */
  readonly revision: number;
  readonly createdMs: number;
  readonly updatedMs: number;
  /** At least one, at most 1,000. */
  readonly keys: readonly RingKey[];
  /** Root of the log keys. */
  readonly log: { readonly id: string; readonly wrapped: string };
}

/** Versions a ring may hold. */
export const RING_KEYS_MAX = 1000;
/** Largest ring.json that is read. */
export const RING_BYTES_MAX = 1_048_576;

type Fields = Readonly<Record<string, unknown>>;

/** Writes ring.json: canonical JSON for the eye, authenticated as a whole with the root key. */
export function encodeRingFile(ring: RingFile, root: Buffer): Buffer {
  const mac = macOf(ring, root).toString('hex');
  return text({ ...ordered(ring), mac });
}

/**
 * Reads ring.json and refuses all but the canonical form. Does not look at the authenticator.
 * @returns Null when it is damaged.
 */
export function parseRingFile(bytes: Buffer): { ring: RingFile; mac: Buffer } | null {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
  if (!isObject(value) || !isRing(value) || !isHex(value['mac'], 32)) return null;
  const ring = ordered(value);
  const mac = value['mac'];
  return text({ ...ring, mac }).equals(bytes) ? { ring, mac: Buffer.from(mac, 'hex') } : null;
}

/** Whether ring.json was written with this root key; compares in constant time. */
export function ringIsAuthentic(ring: RingFile, mac: Buffer, root: Buffer): boolean {
  const expected = macOf(ring, root);
  return mac.length === expected.length && timingSafeEqual(mac, expected);
}

function macOf(ring: RingFile, root: Buffer): Buffer {
  const key = deriveBytes(root, 'tidemark/ring/v1', ring.ringId, 32);
  try {
    return createHmac('sha256', key)
      .update(text(ordered(ring)))
      .digest();
  } finally {
    key.fill(0);
  }
}

function text(value: object): Buffer {
  return Buffer.from(JSON.stringify(value, null, 2) + '\n', 'utf8');
}

/** The fields in their canonical order and no others. */
function ordered(ring: RingFile): RingFile {
  return {
    format: 1,
    ringId: ring.ringId,
    rootId: ring.rootId,
    revision: ring.revision,
    createdMs: ring.createdMs,
    updatedMs: ring.updatedMs,
    keys: ring.keys.map(({ version, id, createdMs, wrapped }) => ({
      version,
      id,
      createdMs,
      wrapped,
    })),
    log: { id: ring.log.id, wrapped: ring.log.wrapped },
  };
}

function isRing(v: Fields): v is Fields & RingFile {
  const { keys, log } = v;
  return (
    v['format'] === 1 &&
    isHex(v['ringId'], 16) &&
    isHex(v['rootId'], 16) &&
    isCount(v['revision']) &&
    isCount(v['createdMs']) &&
    isCount(v['updatedMs']) &&
    Array.isArray(keys) &&
    keys.length > 0 &&
    keys.length <= RING_KEYS_MAX &&
    keys.every((key: unknown, i) => isRingKey(key, i + 1)) &&
    isObject(log) &&
    isHex(log['id'], 16) &&
    isBase64(log['wrapped'])
  );
}

function isRingKey(value: unknown, version: number): boolean {
  return (
    isObject(value) &&
    value['version'] === version &&
    isHex(value['id'], 16) &&
    isCount(value['createdMs']) &&
    isBase64(value['wrapped'])
  );
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isHex(value: unknown, byteCount: number): value is string {
  return typeof value === 'string' && value.length === 2 * byteCount && /^[0-9a-f]+$/.test(value);
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isBase64(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > 2048) return false;
  return Buffer.from(value, 'base64').toString('base64') === value;
}
