/**
 * What became of a key between the point and now.
 *
 * - `same`: there in both, value and expiry alike;
 * - `changed`: there in both, value or expiry differ;
 * - `missing`: there at the point, not now;
 * - `created`: there now, not at the point;
 * - `expired`: there at the point, and the expiry it would get has passed: it must not be there now.
 */
export type Outcome = 'same' | 'changed' | 'missing' | 'created' | 'expired';

/** What becomes of selected keys that were not there at the point (`created`). */
export type MissingKeys = 'delete' | 'keep';

/** A key as a server holds it. */
export interface KeyState {
  /** As TYPE answers; `none` = hidden by the server, which keeps it though its expiry has passed. */
  readonly type: string;
  /** Unix milliseconds; null = none. */
  readonly expiryMs: number | null;
  /** As MEMORY USAGE tells, an estimate for collections. */
  readonly bytes: number;
  /**
   * SHA-256 (hex) of the DUMP payload without its 10-byte tail; null for a value that was not
   * dumped: over 8 MiB, or hidden. With the prefix `c:` a digest of the content.
   */
  readonly digest: string | null;
}

/** One selected key that is not the same on both sides. */
export interface KeyDifference {
  readonly db: number;
  readonly key: Buffer;
  readonly outcome: Outcome;
  /** As it was at the point; null for `created`. */
  readonly then: KeyState | null;
  /** As it is now; null = not there. */
  readonly live: KeyState | null;
}
