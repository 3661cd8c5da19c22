/** What a sealed object holds. The number stands in the header at offset 10. */
export const OBJECT_KIND = {
  eventBody: 1,
  segment: 2,
  mergedLevel: 3,
  snapshot: 4,
  keyIndex: 5,
  undoPack: 6,
  spool: 7,
  canary: 8,
  nodeFacts: 9,
  wrappedKey: 10,
} as const;

/** A number of {@link OBJECT_KIND}. */
export type ObjectKind = (typeof OBJECT_KIND)[keyof typeof OBJECT_KIND];

/** How the plain content is compressed, header offset 11. The container itself never compresses. */
export const COMPRESSION = { none: 0, deflateRaw: 1, brotli: 2, zstd: 3 } as const;

/** A number of {@link COMPRESSION}. */
export type Compression = (typeof COMPRESSION)[keyof typeof COMPRESSION];

/** First bytes of every sealed object; `0D 0A 1A` shows damage by text-mode transfers. */
export const SEAL_MAGIC = Buffer.from('8b544445310d0a1a', 'hex');
export const SEAL_VERSION = 1;
/** AES-256-GCM, HKDF-SHA-512, 32-byte commitment: the only suite there is. */
export const SEAL_SUITE = 1;

/** Bytes before the identity: fixed fields, commitment, identity length. */
export const FIXED_HEADER_BYTES = 100;
/** Bytes before the commitment. They are the ones the key derivation covers. */
export const PRELUDE_BYTES = 64;
export const TAG_BYTES = 16;
export const IDENTITY_BYTES_MAX = 4096;
export const CHUNK_LOG2_MIN = 12;
export const CHUNK_LOG2_MAX = 22;
/** 256 KiB. */
export const CHUNK_LOG2_DEFAULT = 18;
/** 1 MiB: snapshots are read from end to end. */
export const CHUNK_LOG2_SNAPSHOT = 20;
/** Largest object, sealed: 5 TiB. Far below the 2^48 chunks of the format. */
export const SEALED_BYTES_MAX = 5 * 2 ** 40;

const kinds: ReadonlySet<number> = new Set(Object.values(OBJECT_KIND));
const compressions: ReadonlySet<number> = new Set(Object.values(COMPRESSION));

/** Whether a header byte is a kind this version knows. */
export function isObjectKind(value: number): value is ObjectKind {
  return kinds.has(value);
}

/** Whether a header byte is a compression this version knows. */
export function isCompression(value: number): value is Compression {
  return compressions.has(value);
}

/** Chunk size used when the caller names none: 2^20 for snapshots, else 2^18. */
export function defaultChunkLog2(kind: ObjectKind): number {
  return kind === OBJECT_KIND.snapshot ? CHUNK_LOG2_SNAPSHOT : CHUNK_LOG2_DEFAULT;
}
