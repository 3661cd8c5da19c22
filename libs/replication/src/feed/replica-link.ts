import type { Socket } from 'node:net';
import type { Clock } from '@tidemark/core';
import { RespDecoder, commandArguments } from '@tidemark/resp';
import { LinkLost } from './errors.ts';
import type { PsyncRequest } from './handshake.ts';

/** Chunks below this are joined. */
const SMALL_BYTES = 32 * 1024;
const JOIN_BYTES = 256 * 1024;
const WRITE_BYTES_MAX = 1024 * 1024;

/**
 * One connection after PSYNC: bytes out with back-pressure, acknowledgements in.
 *
 * One task at a time may await `wait`, `put` and `untilAcked`. Small chunks are joined until 256 KiB
 * stand ready or the event loop turns, so that a source that stalls never holds bytes back.
 */
export class ReplicaLink {
  readonly request: PsyncRequest;
  readonly #socket: Socket;
  readonly #decoder: RespDecoder;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  #lost: LinkLost | null = null;
  #interrupt: ((reason: LinkLost) => void) | null = null;
  #acked: bigint | null = null;
  #wanted: { offset: bigint; resolve: () => void } | null = null;
  #joined: Buffer | null = null;
  #joinedBytes = 0;
  #lastHeardMs: number;
  #lastAckMs: number;

  /**
   * @param decoder - Has read the handshake and may hold bytes that came after it.
   */
  constructor(socket: Socket, decoder: RespDecoder, request: PsyncRequest, clock: Clock) {
    this.#socket = socket;
    this.#decoder = decoder;
    this.request = request;
    this.#clock = clock;
    this.#lastHeardMs = clock.monotonicMs();
    this.#lastAckMs = this.#lastHeardMs;
    socket.on('data', (chunk: Buffer) => {
      this.#decoder.push(chunk);
      this.#receive();
    });
    socket.on('error', (error) => this.#lose(new LinkLost(error.message, true, error)));
    socket.on('end', () => {
      this.#lose(new LinkLost('the server closed the connection', true));
      socket.destroy();
    });
    socket.on('close', () => this.#lose(new LinkLost('the server closed the connection', true)));
    this.#receive();
  }

  get lost(): LinkLost | null {
    return this.#lost;
  }

  /** Aborts when the link goes. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Offset that the server has applied; `null` before its first ACK. */
  get acked(): bigint | null {
    return this.#acked;
  }

  /** Bytes that the socket has not yet taken. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.#joinedBytes;
  }

  /** Bytes that the socket has taken. */
  get takenBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  /** When the acknowledged offset last moved. */
  get lastAckMs(): number {
    return this.#lastAckMs;
  }

  /** Waits for work that does not know of the link; the loss of the link ends the wait. */
  wait<T>(work: Promise<T>): Promise<T> {
    if (this.#lost !== null) {
      work.catch(() => undefined);
      return Promise.reject(this.#lost);
    }
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      work.then(
        (value) => {
          this.#interrupt = null;
          resolve(value);
        },
        (error: unknown) => {
          this.#interrupt = null;
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  /**
   * Sends bytes.
   * @param chunk - Belongs to the link from now on.
   * @returns `undefined` while there is room, else a promise to await before the next call.
   */
  put(chunk: Uint8Array): Promise<void> | undefined {
    if (chunk.length === 0) return undefined;
    if (chunk.length < SMALL_BYTES) return this.#join(chunk);
    this.flush();
    let room = true;
    for (let at = 0; at < chunk.length; at += WRITE_BYTES_MAX) {
      room = this.#socket.write(chunk.subarray(at, at + WRITE_BYTES_MAX));
    }
    return room ? undefined : this.#drained();
  }

  /** Sends what was joined so far. */
  flush(): boolean {
    const joined = this.#joined;
    if (joined === null) return true;
    const bytes = joined.subarray(0, this.#joinedBytes);
    this.#joined = null;
    this.#joinedBytes = 0;
    return this.#lost !== null || this.#socket.write(bytes);
  }

  /** Resolves when the server has applied everything up to the offset. */
  untilAcked(offset: bigint): Promise<void> {
    if (this.#acked !== null && this.#acked >= offset) return Promise.resolve();
    return this.wait(
      new Promise<void>((resolve) => {
        this.#wanted = { offset, resolve };
      }),
    );
  }

  /** Takes an offset that the server named in PSYNC as acknowledged. */
  assumeAcked(offset: bigint): void {
    this.#acked = offset;
  }

  /** Resolves never; rejects when the link goes. */
  untilLost(): Promise<never> {
    return this.wait(new Promise<never>(() => undefined));
  }

  /** Answers and closes. */
  refuse(reply: Buffer): void {
    this.#socket.end(reply);
    this.#socket.destroySoon();
    this.#lose(new LinkLost('refused', false));
  }

  /** Closes at once; nothing more is sent. */
  close(why: string): void {
    this.#lose(new LinkLost(why, false));
    this.#socket.destroy();
  }

  #join(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#joined !== null && this.#joinedBytes + chunk.length > this.#joined.length) {
      const room = this.flush();
      this.#startJoin(chunk);
      return room ? undefined : this.#drained();
    }
    this.#startJoin(chunk);
    return undefined;
  }

  #startJoin(chunk: Uint8Array): void {
    if (this.#joined === null) {
      this.#joined = Buffer.allocUnsafeSlow(JOIN_BYTES);
      setImmediate(() => this.flush());
    }
    this.#joined.set(chunk, this.#joinedBytes);
    this.#joinedBytes += chunk.length;
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('drain', resolve);
    });
  }

  #receive(): void {
    this.#lastHeardMs = this.#clock.monotonicMs();
    try {
      for (let value = this.#decoder.read(); value !== undefined; value = this.#decoder.read()) {
        this.#take(commandArguments(value));
      }
    } catch (cause) {
      this.#lose(new LinkLost('the server sent what is no command', false, cause));
      this.#socket.destroy();
    }
  }

  /** `REPLCONF ACK offset [FACK offset]`; other commands of a replica say nothing to a feed. */
  #take(args: readonly Buffer[] | null): void {
    const option = args?.[1]?.toString('latin1').toLowerCase();
    const text = args?.[2]?.toString('latin1') ?? '';
    if (option !== 'ack' || !/^[0-9]{1,19}$/.test(text)) return;
    const offset = BigInt(text);
    if (this.#acked !== null && offset <= this.#acked) return;
    this.#acked = offset;
    this.#lastAckMs = this.#lastHeardMs;
    if (this.#wanted !== null && offset >= this.#wanted.offset) {
      this.#wanted.resolve();
      this.#wanted = null;
    }
  }

  #lose(reason: LinkLost): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#closed.abort(reason);
    const interrupt = this.#interrupt;
    this.#interrupt = null;
    interrupt?.(reason);
  }
}
