import type { Duplex } from 'node:stream';
import type { Clock, NodeError } from '@tidemark/core';

/** How far a link is: before the answer to PSYNC, until the RDB is complete, after it. */
export type LinkPhase = 'handshake' | 'snapshot' | 'stream';

/** Waiting times in milliseconds. A process that was stopped meanwhile is not taken for a silent server. */
export interface ReplicaLinkTimeouts {
  /** For each reply before PSYNC. Default 10,000. */
  readonly handshakeMs?: number;
  /** Silence until the RDB is complete; newlines of the server end a silence. Default 60,000. */
  readonly snapshotMs?: number;
  /** From PSYNC to the first byte of the RDB, newlines or not. Default 21,600,000 (6 hours). */
  readonly waitMs?: number;
  /** Silence of the stream; a primary pings every `repl-ping-replica-period` (10 s). Default 60,000. */
  readonly streamMs?: number;
}

/** What `openReplicaLink` takes. */
export interface ReplicaLinkOptions {
  /** Opens a connection that nobody has logged in on (TCP or TLS), within a time of its own. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  /** For messages: the node without user and password. */
  readonly node: string;
  readonly username?: string;
  readonly password?: string;
  /** Goes on after byte `offset` of the history `replid`; null asks for a full resync. */
  readonly resume: { readonly replid: string; readonly offset: bigint } | null;
  /** The snapshot alone, no stream after it (6.2 and newer; older: the link is closed behind the snapshot). */
  readonly snapshotOnly?: boolean;
  /**
   * Names the fault of a connection that broke before the first reply, where the caller can: in TLS
   * 1.3 a client certificate is refused only after the connection is made.
   */
  readonly explain?: (cause: Error) => NodeError | null;
  readonly clock: Clock;
  /** Aborting closes the link; whoever waits gets the signal's reason. */
  readonly signal: AbortSignal;
  readonly timeouts?: ReplicaLinkTimeouts;
}

/** What the node answered to PSYNC. */
export type LinkStart =
  /** An RDB follows: the state at `offset`. */
  | { readonly kind: 'full'; readonly replid: string; readonly offset: bigint }
  /** The stream goes on with byte `offset` + 1; `replid` may be a new one. */
  | { readonly kind: 'continued'; readonly replid: string; readonly offset: bigint };

/**
 * A link to a node as its replica. Nobody counts on it: it acknowledges offset 0 (docs/adr/0026).
 *
 * Back-pressured: while nobody pulls, at most about 1 MiB is held and the socket is not read; the
 * node is told all the same that we live.
 */
export interface ReplicaLink extends AsyncDisposable {
  readonly start: LinkStart;
  /** Bytes of the RDB where the node said so beforehand; null before that, and where it does not. */
  readonly snapshotLength: number | null;
  /**
   * The RDB, only after `full`, once. Ends when it is complete. A chunk is valid until the next.
   * Who leaves it early closes the link.
   *
   * @throws NodeError when the link breaks before the end; the signal's reason.
   */
  snapshot(): AsyncIterable<Buffer>;
  /**
   * The stream from `start.offset` + 1 on, once, after the snapshot ended: bytes as on the wire, in
   * chunks as they come from the socket. It ends by an error only. Who leaves it closes the link.
   *
   * @throws NodeError; the signal's reason.
   */
  stream(): AsyncIterable<Buffer>;
}
