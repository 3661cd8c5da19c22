import type { ByteSource, Clock } from '@tidemark/core';

/**
 * How far a feed is. `handshake`: no server asked for the data yet; `snapshot`: until the server
 * has loaded it; `commands`: the stream is being sent; `acknowledge`: all is sent, the server has
 * not yet applied the last byte; `done`.
 */
export type FeedPhase = 'handshake' | 'snapshot' | 'commands' | 'acknowledge' | 'done';

/** Told about four times a second while bytes flow, and at every change of the phase. */
export interface FeedProgress {
  readonly phase: FeedPhase;
  /** Bytes of the snapshot handed to the socket. */
  readonly rdbBytes: number;
  /** Bytes of the command stream handed to the socket. */
  readonly commandBytes: bigint;
  /** Replication offset that the server says it has applied; `null` before the snapshot is loaded. */
  readonly ackedOffset: bigint | null;
}

/** What `finished` resolves with. */
export interface FeedResult {
  readonly rdbBytes: number;
  readonly commandBytes: bigint;
  /**
   * Replication offset after the last command byte: base offset, command bytes, and the keepalives
   * that went between them. The server's own offset is this or, by later keepalives, more.
   */
  readonly offset: bigint;
  /**
   * Replication offset after all that was sent: the same and the last GETACK. With `resumable` nothing
   * follows it, so that a server with another offset has been told something by somebody else.
   */
  readonly sentOffset: bigint;
  /** How often the snapshot was sent again, and how often a broken link went on where it was. */
  readonly restarts: number;
  readonly resumes: number;
}

/** Waiting times in milliseconds. */
export interface FeedTimeouts {
  /** From opening to the first server that asks for the data. Default 60,000. */
  readonly connectMs?: number;
  /** From the loss of the link to its return. Default 60,000. */
  readonly reconnectMs?: number;
  /** A connection that has not authenticated is closed after this. Default 5,000. */
  readonly authenticateMs?: number;
  /** The server takes no byte, or acknowledges none, for this long. Default 600,000. */
  readonly stallMs?: number;
  /** Silence after which a keepalive is due. Default 5,000. */
  readonly keepaliveMs?: number;
  /** At first a server that comes, and fails in TLS each time, is waited for so long. Default 5,000. */
  readonly tlsMs?: number;
}

/** What a feed over TLS shows, and whom it lets in. PEM throughout. */
export interface FeedTls {
  /** Our certificate, then those between it and its authority. */
  readonly cert: string;
  readonly key: string;
  /** Authorities of the server's certificate; null: those that Node.js brings. */
  readonly ca: readonly string[] | null;
  /** SHA-256 of the one certificate that the server may show, hexadecimal with colons. */
  readonly peerFingerprint: string;
  /** Of TLS 1.2 and 1.3, in the language of OpenSSL; default: forward secret with AEAD. */
  readonly ciphers?: string;
}

/** What `openFeed` takes. */
export interface FeedOptions {
  /** Local address to listen on. */
  readonly listenHost: string;
  /** 0 or left out: a free port. */
  readonly listenPort?: number;
  /** One-time name and password; the server presents them (`masteruser`, `masterauth`). */
  readonly user: string;
  readonly password: string;
  /** The only address that may connect. */
  readonly allowFrom?: string;
  /** Absent or null: without TLS. */
  readonly tls?: FeedTls | null;
  /** 40 lower-case hex digits, drawn for this feed alone. */
  readonly replicationId: string;
  /** Replication offset of the snapshot; the first command byte has this offset plus one. */
  readonly baseOffset: bigint;
  /** An RDB. Called once for every full resync, at most three times. */
  readonly snapshot: () => ByteSource;
  /**
   * The command stream from a position on: RESP arrays only, SELECT first, whole commands, no open
   * MULTI at its end. The same position gives the same bytes every time.
   * @param from - Bytes of the stream that the server has applied.
   */
  readonly commands: (from: bigint) => ByteSource;
  readonly clock: Clock;
  /** Aborting closes everything; `finished` rejects with the signal's reason. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: FeedProgress) => void;
  readonly timeouts?: FeedTimeouts;
  /**
   * Another feed, of the same id and base offset, may have to take over from this one, maybe in
   * another process: nothing of our own is then sent among the commands, so that an offset says by
   * itself where to go on. The server needs a `repl-timeout` above the longest stall of the source.
   */
  readonly resumable?: boolean;
  /** Takes over from such a feed: the server has loaded the snapshot already. */
  readonly resume?: boolean;
}

/** A listening feed. Disposing closes the link and the listener. */
export interface Feed extends AsyncDisposable {
  /** Address and port that it listens on. */
  readonly host: string;
  readonly port: number;
  /**
   * Waits until the server has applied the last byte. The link then stays up until disposal.
   * @throws NodeError `TM_FEED` with `context.phase`, `TM_FEED_TLS` with `context.reason`; the error
   *   of a source as it is; the reason of the signal.
   */
  finished(): Promise<FeedResult>;
}
