import type { ErrorCode } from '@tidemark/core';

/** The replication link to a node, as `status` shows it. */
export interface LinkStatus {
  /**
   * `connecting`: none yet; `syncing`: a snapshot comes in; `streaming`; `waiting`: between two
   * tries; `full`: the wire spool has no room.
   */
  readonly state: 'connecting' | 'syncing' | 'streaming' | 'waiting' | 'full';
  /** The node, without user and password. */
  readonly node: string;
  /** Replication id in force; null before the first sync. */
  readonly replid: string | null;
  /** Replication offset of the last byte received, decimal; null before the first sync. */
  readonly offset: string | null;
  /** Since this capture began. */
  readonly fullResyncs: number;
  readonly partialResyncs: number;
  /** Sealed bytes in the wire spool. */
  readonly spoolBytes: number;
  /** Why the link is down; null while it is up. */
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
}
