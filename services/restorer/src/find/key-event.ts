import type { FoundPlace } from './found-command.ts';

/** What a command did to a key, as far as the log tells. */
export type KeyAction =
  /** Its value was set or changed; a command that takes elements away may have left none. */
  | 'write'
  /** DEL, UNLINK, GETDEL: by a client, or by the server for a key that expired or was evicted. */
  | 'delete'
  | 'expire set'
  | 'expiry removed'
  /** The key became another one, or another one became it. */
  | 'rename to'
  | 'rename from'
  | 'copy from'
  | 'move to'
  | 'move from'
  /** FLUSHALL, FLUSHDB. */
  | 'flushed'
  /** SWAPDB: what it held is now in the other database, and the other way round. */
  | 'swapped'
  /** Keys of hash slots were removed, or the slot map changed: it may have been among them. */
  | 'slots'
  /** Commands that may have written any key: it is not known which. */
  | 'may have written'
  /** What a snapshot, the dataset at its offset, says of it. No command. */
  | 'in snapshot'
  | 'not in snapshot';

/** The other key of a rename, copy or move; of a swap its database, and no key. */
export interface OtherKey {
  readonly db: number;
  readonly key: Buffer | null;
}

/** What a snapshot holds of a key. */
export interface SnapshotState {
  readonly backup: string;
  /** As TYPE names it; null = the key is not there. */
  readonly type: string | null;
  /** Bytes of the entry in the RDB; null as above. */
  readonly bytes: number | null;
}

/** One thing that happened to a key. */
export interface KeyEvent extends FoundPlace {
  /** Database of the key: where it was before, for `move to`. */
  readonly db: number;
  readonly did: KeyAction;
  /** The other key or database of a rename, copy, move or swap. */
  readonly other: OtherKey | null;
  /** Expiry that it was given, or has in a snapshot, Unix milliseconds. */
  readonly expiryMs: number | null;
  /** For `delete`: its expiry, last seen in the log, had passed. */
  readonly expired: boolean;
  /** Commands that are told by this one event; above 1 only for `may have written`. */
  readonly count: number;
  /** For `in snapshot` and `not in snapshot`. */
  readonly snapshot: SnapshotState | null;
}
