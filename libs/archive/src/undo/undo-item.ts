/** What stands at the head of a part of an undo pack. Times are Unix milliseconds. */
export interface UndoHead {
  readonly instance: string;
  /** Id of the restore whose overwritten values these are. */
  readonly restore: string;
  /** Parts count from 0 in the order in which they were written. */
  readonly part: number;
  readonly createdMs: number;
  /** From then on the pack is not used any more. */
  readonly expiresMs: number;
  /** Key items of this part. */
  readonly keys: number;
}

/** The value that a key had. `payload`: as DUMP gives it; null: it follows in pieces. */
export interface UndoValue {
  readonly type: string;
  readonly expiryMs: number | null;
  readonly payload: Buffer | null;
}

/** What the restore was about to write. */
export interface UndoWritten {
  readonly expiryMs: number | null;
  /** 32 bytes that tell whether the value is still the one that was written. */
  readonly digest: Buffer;
}

/** A key as it was, before it was written. */
export interface UndoKey {
  readonly kind: 'key';
  readonly db: number;
  readonly key: Buffer;
  /**
   * `first`: nothing of this key stands in an earlier part that counts; `again`: what earlier parts
   * say of the key is void; `void`: so is this, the key was not written after all.
   */
  readonly standing: 'first' | 'again' | 'void';
  /** Null: the key was not there. */
  readonly before: UndoValue | null;
  /** Null: the key was deleted. */
  readonly written: UndoWritten | null;
}

/** A command (without the name of the key) that builds a part of the value of the key before it. */
export interface UndoPiece {
  readonly kind: 'piece';
  readonly command: string;
  readonly args: readonly Buffer[];
}

export type UndoItem = UndoKey | UndoPiece;

/** The numbers of the standings, in this order. */
export const STANDINGS = ['first', 'again', 'void'] as const;

export const ITEM = { end: 0, head: 1, key: 2, piece: 3 } as const;
export const UNDO_VERSION = 1;
export const DIGEST_BYTES = 32;
/** Most bytes of the fields of an item; keys, payloads and arguments stand behind them. */
export const FIELDS_BYTES_MAX = 1_048_576;
/** No server keeps longer strings (`proto-max-bulk-len`). */
export const BULK_BYTES_MAX = 536_870_912;
export const ARGUMENTS_MAX = 65_536;
export const NAME_BYTES_MAX = 256;
export const DATABASES_MAX = 2 ** 31;
