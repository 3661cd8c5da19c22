/** One way to name keys. */
export type KeyRule =
  /** Exactly this key, byte by byte. */
  | { readonly kind: 'key'; readonly key: Buffer }
  /** Every key that the whole pattern fits; the rules stand in docs/selectors.md. */
  | { readonly kind: 'regex'; readonly pattern: string }
  /** Every key that a glob fits, by the rules of the server's KEYS and SCAN MATCH. */
  | { readonly kind: 'glob'; readonly pattern: string };

/** Which keys are meant. A key is selected if something includes it and nothing excludes it. */
export interface SelectorSpec {
  /** Empty: every key, of the databases and types below. */
  readonly include: readonly KeyRule[];
  readonly exclude: readonly KeyRule[];
  /** Null: every database. */
  readonly dbs: readonly number[] | null;
  readonly excludeDbs: readonly number[];
  /**
   * Names as the command TYPE answers them: string, list, set, zset, hash, stream or the type name
   * of a module. Null: every type.
   */
  readonly types: readonly string[] | null;
  readonly excludeTypes: readonly string[];
}
