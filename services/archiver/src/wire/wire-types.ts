/** One history of a source, from a full resync on. */
export interface WireHistory {
  /** Number of the full resync. */
  readonly seq: number;
  /** Its random id, decimal, below 2^62. */
  readonly ino: string;
  /** Replication id in force (40 hex): of what is newest, or at the place that is read. */
  readonly replid: string;
  /** Offset of the RDB; the first stream byte has the next one. null: joined in the middle. */
  readonly snapshotOffset: bigint | null;
}

/** How much of the snapshot of a history lies here. */
export type SnapshotState = 'none' | 'partial' | 'whole';

/** What the newest history holds. */
export interface NewestHistory {
  readonly history: WireHistory;
  /** The stream bytes here are those with the offsets `from` + 1 to `to`. */
  readonly from: bigint;
  /**
   * Where the next byte is appended. What waits for its frame is counted; after a write that failed
   * it is the place to go on from.
   */
  readonly to: bigint;
  readonly snapshot: SnapshotState;
}

/** What of one history is here. */
export interface KeptHistory {
  /** As of {@link NewestHistory}. */
  readonly from: bigint;
  readonly to: bigint;
  readonly snapshot: SnapshotState;
  /** Replication ids, in order: each from its offset on. */
  readonly ids: readonly { readonly replid: string; readonly start: bigint }[];
}

/** What a reader gives, in order. */
export type WireItem =
  /**
   * A new history, or the first one that is read. `position` is the offset before its next byte: if it
   * is not where the reader stood (`from`, or the end of the history), what lies between is lost.
   */
  | { readonly kind: 'history'; readonly history: WireHistory; readonly position: bigint }
  /** The history goes on under another replication id. */
  | { readonly kind: 'renamed'; readonly replid: string; readonly position: bigint }
  /** At most 256 KiB, the reader's own. `position` is the offset of the byte before the first. */
  | { readonly kind: 'bytes'; readonly data: Buffer; readonly position: bigint }
  /** All that is there was read; the next call waits for more. */
  | { readonly kind: 'idle' };

/** Reads what a wire spool holds, in order, and waits for more. */
export interface WireReader extends AsyncDisposable {
  /**
   * One call at a time.
   * @throws The signal's reason; IntegrityError `TM_SPOOL_DAMAGED` for bytes that do not authenticate,
   *   after which every call throws: the spool is to be opened again, which cuts there.
   */
  next(signal: AbortSignal): Promise<WireItem>;
}

/** A place in a history. */
export interface WirePlace {
  readonly seq: number;
  readonly ino: string;
  readonly position: bigint;
}
