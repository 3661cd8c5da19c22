import { UsageError } from '@tidemark/core';
import { encodeCommand } from '@tidemark/resp';
import { dialError } from './errors.ts';
import { greet } from './greet.ts';
import { LinkSocket } from './link-socket.ts';
import type { LinkStart, ReplicaLink, ReplicaLinkOptions, ReplicaLinkTimeouts } from './options.ts';
import { lateSnapshot, readFrame, snapshotBytes } from './snapshot-bytes.ts';

/** Offset 0 counts neither for WAIT nor for FAILOVER: docs/adr/0026. */
const ACK = encodeCommand(['REPLCONF', 'ACK', '0']);
/** Before the RDB is complete an ACK would say too much; a bare newline says that we live. */
const NEWLINE = Buffer.from('\n');
const SIGN_EVERY_MS = 1000;

/**
 * Opens a link to a node as its replica: the other end of PSYNC, for Redis 6.0 and newer and Valkey.
 *
 * Nothing of the stream is parsed. The node's `REPLCONF GETACK` is answered by the ACK of the next
 * second; since it acknowledges nothing, nobody waits for it.
 *
 * @throws NodeError with `context.phase`: `TM_NODE_UNREACHABLE`, `TM_NODE_AUTH`, `TM_NODE_RIGHTS`,
 *   `TM_NODE_LOADING`, `TM_REPLICA_LINK_DOWN`, `TM_REPLICATION` (time may mend it),
 *   `TM_REPLICATION_PEER` (it does not); what `dial` throws, if it has a code; the signal's reason.
 * @see redis src/replication.c, `syncWithMaster`, `syncCommand`
 */
export async function openReplicaLink(options: ReplicaLinkOptions): Promise<ReplicaLink> {
  checkOptions(options);
  const { signal, node, timeouts } = options;
  signal.throwIfAborted();
  const duplex = await options.dial(signal).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw dialError(cause, node);
  });
  const link = new OpenLink(
    new LinkSocket(duplex, timeouts?.handshakeMs ?? 10_000, {
      node,
      clock: options.clock,
      explain: options.explain ?? (() => null),
    }),
    options,
  );
  await link.open();
  return link;
}

function checkOptions({ resume, snapshotOnly }: ReplicaLinkOptions): void {
  const wrong = (what: string): UsageError => new UsageError('TM_USAGE', `replica link: ${what}`);
  if (resume === null) return;
  if (snapshotOnly === true) throw wrong('a snapshot is not resumed');
  if (!/^[0-9a-f]{40}$/.test(resume.replid)) {
    throw wrong('a replication id has 40 lower-case hex digits');
  }
  if (resume.offset < 0n) throw wrong('an offset is not negative');
}

class OpenLink implements ReplicaLink {
  snapshotLength: number | null = null;
  readonly #socket: LinkSocket;
  readonly #options: ReplicaLinkOptions;
  readonly #timeouts: Required<Omit<ReplicaLinkTimeouts, 'handshakeMs'>>;
  readonly #onAbort: () => void;
  #start: LinkStart | null = null;
  /** What may be asked for next. */
  #next: 'snapshot' | 'stream' | null = null;

  constructor(socket: LinkSocket, options: ReplicaLinkOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#timeouts = {
      snapshotMs: options.timeouts?.snapshotMs ?? 60_000,
      waitMs: options.timeouts?.waitMs ?? 6 * 3_600_000,
      streamMs: options.timeouts?.streamMs ?? 60_000,
    };
    this.#onAbort = () => {
      const reason: unknown = options.signal.reason;
      this.#close(reason instanceof Error ? reason : new Error(String(reason)));
    };
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  get start(): LinkStart {
    if (this.#start === null) throw new UsageError('TM_INTERNAL', 'the link is not open');
    return this.#start;
  }

  /** Does the handshake; closes the connection when it fails. */
  async open(): Promise<void> {
    const socket = this.#socket;
    try {
      const greeting = await this.#inTime(() =>
        greet(socket, this.#options, this.#timeouts.snapshotMs),
      );
      this.#start = greeting.start;
      if (greeting.start.kind === 'continued') {
        this.#beginStream();
        return;
      }
      socket.phase = 'snapshot';
      this.#next = 'snapshot';
      // A server that closes behind the snapshot must have read all that we said: what it had not
      // would reset the connection, and what is still on its way to us would be lost. Nor does such
      // a link need a sign of life: it is not dropped for silence.
      socket.sign = greeting.snapshotAlone ? null : NEWLINE;
    } catch (error) {
      this.#close(error as Error);
      throw error;
    }
  }

  async *snapshot(): AsyncGenerator<Buffer, void, undefined> {
    this.#begin('snapshot');
    let whole = false;
    try {
      const frame = await this.#inTime(() => readFrame(this.#socket, this.#options.node));
      if (frame.kind === 'length') this.snapshotLength = frame.bytes;
      yield* snapshotBytes(this.#socket, frame);
      whole = true;
    } finally {
      if (!whole) this.#close(new Error('the snapshot was left before its end'));
    }
    if (this.#options.snapshotOnly === true) this.#close(new Error('the snapshot is complete'));
    else this.#beginStream();
  }

  async *stream(): AsyncGenerator<Buffer, void, undefined> {
    this.#begin('stream');
    try {
      for (;;) yield await this.#socket.read();
    } finally {
      this.#close(new Error('the stream was left'));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#close(new Error('the link was closed'));
    return Promise.resolve();
  }

  #begin(what: 'snapshot' | 'stream'): void {
    if (this.#next !== what) {
      throw new UsageError('TM_INTERNAL', `the ${what} of this link is not there to be read`);
    }
    this.#next = null;
  }

  /**
   * From here on ACKs. A primary that sent the RDB without a file holds the stream back until it
   * has seen an ACK *after* its child has ended; so the first ones alone would not do.
   */
  #beginStream(): void {
    this.#next = 'stream';
    this.#socket.phase = 'stream';
    this.#socket.silenceMs = this.#timeouts.streamMs;
    this.#socket.sign = ACK;
    this.#socket.signEveryMs = SIGN_EVERY_MS;
    this.#socket.write(ACK);
  }

  /** The wait for an answer to PSYNC, or for the RDB, has an end even when newlines go on. */
  async #inTime<T>(work: () => Promise<T>): Promise<T> {
    const done = new AbortController();
    const { clock, node } = this.#options;
    const { waitMs } = this.#timeouts;
    clock.sleep(waitMs, done.signal).then(
      () => this.#close(lateSnapshot(node, waitMs)),
      () => undefined,
    );
    try {
      return await work();
    } finally {
      done.abort();
    }
  }

  #close(reason: Error): void {
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#socket.close(reason);
  }
}
