import type { ValuePiece } from '../value/read-pieces.ts';

/** What is to be done about a key that somebody else changed. */
export type ConflictPolicy = 'skip' | 'overwrite' | 'fail';

/** A value that a key is to get. */
export interface WantedValue {
  readonly type: string;
  /** Unix milliseconds; null = none. */
  readonly expiryMs: number | null;
  /** About, in bytes. */
  readonly bytes: number;
  /**
   * As RESTORE of the original takes it, or what it takes to build it: read anew at each call, its
   * digest is asked when all pieces were.
   */
  readonly value:
    | { readonly kind: 'dump'; readonly payload: Buffer }
    | { readonly kind: 'pieces'; readonly open: () => WantedPieces };
}

/** Pieces of a large value. */
export interface WantedPieces {
  pieces(): AsyncIterable<ValuePiece>;
  /** 32 bytes; asked after the last piece. */
  digest(): Buffer;
}

/** A key as it is found on the original. */
export interface Present {
  readonly type: string;
  readonly expiryMs: number | null;
  /** Null for a large value. */
  readonly payload: Buffer | null;
  /** Digest of the pieces of a large value, once they were read. */
  readonly piecesDigest: Buffer | null;
  /** As MEMORY USAGE tells; asked for large values alone, else 0. */
  readonly bytes: number;
}

/** One key to be written. */
export interface WriteTask {
  readonly db: number;
  readonly key: Buffer;
  /** Null: the key is not to be there. */
  readonly want: WantedValue | null;
  /** About, of the value that is there; decides whether it may be dumped. */
  readonly presentBytes: number;
  /**
   * Why what is there now is not what was to be overwritten; null when it is. Asked once more for a
   * large value, with the digest of its pieces.
   */
  readonly conflict: (present: Present | null) => string | null;
  /** Whether the key is already as wanted: then it is left. */
  readonly settled?: (present: Present | null) => boolean;
  /** Deleted because its expiry has passed. */
  readonly vanishes: boolean;
  /** Stands in an earlier part of the undo pack that may not count any more. */
  readonly again: boolean;
}

/** Values over this are never dumped from, or restored whole into, a server that serves. */
export const LARGE_BYTES: number = 8 * 1024 * 1024;
/** A module gives no pieces: up to here its values travel whole. */
export const MODULE_BYTES_MAX: number = 64 * 1024 * 1024;
