import {
  BlockList,
  createServer,
  isIPv6,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import { NodeError, type Clock } from '@tidemark/core';
import { RespDecoder, commandArguments, encodeError } from '@tidemark/resp';
import { Handshake, type PsyncRequest } from './handshake.ts';
import type { FeedTls } from './options.ts';
import { ReplicaLink } from './replica-link.ts';
import { TlsDoor, endOf } from './tls-door.ts';
import { addTrouble, type TlsReason, type TlsTrouble } from './tls-trouble.ts';

/** At most this many connections may be in their handshake; the oldest stranger makes room. */
const WAITING_MAX = 4;
/** With TLS a handshake is several turns: more places, and none for newcomers who find them taken. */
const TLS_WAITING_MAX = 16;
/** One that takes longer than this in TLS makes room after all. */
const TLS_HANDSHAKE_MS = 2000;
const HANDSHAKE_BYTES_MAX = 64 * 1024;
/** A server that has authenticated may be busy before it asks. */
const ASK_MS = 60_000;
const SOCKET_BUFFER_BYTES = 1024 * 1024;
/** First byte of a TLS handshake (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16;
/** What a replica says first: redis replication.c, `syncWithMaster`. */
const REPLICA_WORDS = /^\*[123]\r\n\$(4\r\nPING|4\r\nAUTH|8\r\nREPLCONF)\r\n/i;

/** How many connections were turned away, and why. */
export interface Rejections {
  readonly address: number;
  readonly password: number;
  readonly protocol: number;
  readonly time: number;
  /** Came from the right address and failed in TLS. */
  readonly tls: number;
}

/** What a gate needs. */
export interface GateOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly allowFrom: string | undefined;
  readonly tls: FeedTls | null;
  readonly authenticateMs: number;
  readonly clock: Clock;
  /** A server that authenticated asks for the data. */
  readonly onArrival: (link: ReplicaLink) => void;
}

interface Waiting {
  /** With TLS at first the connection below it. */
  socket: Socket;
  readonly end: string;
  readonly sinceMs: number;
  /** It has said something: a TLS handshake runs, or has ended. */
  speaks: boolean;
  readonly handshake: Handshake;
  readonly decoder: RespDecoder;
  readonly done: AbortController;
  listener: (chunk: Buffer) => void;
  bytes: number;
}

const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

function allowList(address: string): BlockList {
  const list = new BlockList();
  const plain = plainAddress(address);
  list.addAddress(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
  return list;
}

/**
 * The listener: lets in who knows the password and asks for the data, from the allowed address.
 *
 * Everybody else gets an error at most, is bounded in bytes and time, and makes room for the next:
 * a flood of strangers costs them their own connections, not those of the right server.
 */
export class Gate {
  readonly #options: GateOptions;
  readonly #server: Server;
  readonly #allowed: BlockList | null;
  readonly #waiting = new Set<Waiting>();
  readonly #counts = { address: 0, password: 0, protocol: 0, time: 0, tls: 0 };
  readonly #door: TlsDoor | null;
  #trouble: TlsTrouble | null = null;

  private constructor(options: GateOptions) {
    this.#options = options;
    this.#allowed = options.allowFrom === undefined ? null : allowList(options.allowFrom);
    this.#door =
      options.tls === null
        ? null
        : new TlsDoor(options.tls, {
            onSecured: (end, socket) => this.#secured(end, socket),
            onTrouble: (end, reason, detail) => {
              // A connection that we have closed ourselves breaks too, and says nothing by that.
              if (reason !== 'broken' || this.#find(end) !== null) this.#note(reason, detail);
            },
          });
    this.#server = createServer(
      {
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: 15_000,
        highWaterMark: SOCKET_BUFFER_BYTES,
      },
      (socket) => this.#accept(socket),
    );
  }

  /** @throws NodeError `TM_FEED_LISTEN`. */
  static async listen(options: GateOptions): Promise<Gate> {
    const gate = new Gate(options);
    await new Promise<void>((resolve, reject) => {
      gate.#server.once('error', (cause) =>
        reject(
          new NodeError('TM_FEED_LISTEN', `cannot listen on ${options.host}`, {
            context: { host: options.host, port: options.port },
            hint: 'choose another address or port with --feed-listen',
            cause,
          }),
        ),
      );
      gate.#server.listen({ host: options.host, port: options.port }, resolve);
    });
    // Later errors (out of descriptors) cost one connection; the server tries again.
    gate.#server.on('error', () => undefined);
    return gate;
  }

  get address(): AddressInfo {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') {
      return { address: this.#options.host, port: this.#options.port, family: 'IPv4' };
    }
    return address;
  }

  get rejections(): Rejections {
    return this.#counts;
  }

  /** Failures in TLS since the last server that got through; null: none. */
  get trouble(): TlsTrouble | null {
    return this.#trouble;
  }

  /** Stops listening and closes connections that are in their handshake. */
  close(): void {
    this.#server.close();
    for (const waiting of this.#waiting) this.#drop(waiting);
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    const remote = plainAddress(socket.remoteAddress ?? '');
    if (this.#allowed?.check(remote, isIPv6(remote) ? 'ipv6' : 'ipv4') === false) {
      this.#counts.address++;
      socket.destroy();
      return;
    }
    if (!this.#makeRoom()) {
      socket.destroy();
      return;
    }
    const waiting: Waiting = {
      socket,
      end: endOf(socket),
      sinceMs: this.#options.clock.monotonicMs(),
      speaks: false,
      handshake: new Handshake(this.#options),
      decoder: new RespDecoder({
        bulkBytesMax: 4096,
        elementsMax: 64,
        lineBytesMax: 64,
        depthMax: 1,
      }),
      done: new AbortController(),
      listener: (chunk) => this.#receive(waiting, chunk),
      bytes: 0,
    };
    this.#waiting.add(waiting);
    socket.once('close', () => this.#drop(waiting));
    const door = this.#door;
    if (door === null) socket.on('data', waiting.listener);
    else socket.once('data', (chunk: Buffer) => this.#begin(door, waiting, chunk));
    void this.#expire(waiting);
  }

  /** The first bytes at a gate with TLS. */
  #begin(door: TlsDoor, waiting: Waiting, chunk: Buffer): void {
    const { socket } = waiting;
    if (chunk[0] === TLS_HANDSHAKE) {
      waiting.speaks = true;
      socket.pause();
      socket.unshift(chunk);
      door.shakeHands(socket);
      return;
    }
    if (REPLICA_WORDS.test(chunk.toString('latin1', 0, 32))) {
      this.#note('plain-target', 'a replica without TLS');
    } else {
      this.#counts.protocol++;
    }
    this.#drop(waiting);
  }

  #find(end: string): Waiting | null {
    return [...this.#waiting].find((one) => one.end === end) ?? null;
  }

  /** The connection of somebody who waits has the right certificate at its other end. */
  #secured(end: string, socket: Socket): void {
    const waiting = this.#find(end);
    if (waiting === null) {
      socket.destroy();
      return;
    }
    waiting.socket = socket;
    socket.once('close', () => this.#drop(waiting));
    socket.on('data', waiting.listener);
  }

  #note(reason: TlsReason, detail: string): void {
    this.#counts.tls++;
    this.#trouble = addTrouble(this.#trouble, reason, detail, this.#options.clock.monotonicMs());
  }

  /**
   * Closes the oldest stranger, or the oldest of all, when too many wait. With TLS the oldest that has
   * said nothing, or takes too long.
   * @returns False when there is no room: nobody is pushed out of a handshake by a newcomer.
   */
  #makeRoom(): boolean {
    const all = [...this.#waiting];
    if (this.#door !== null) {
      if (all.length < TLS_WAITING_MAX) return true;
      const lateMs = this.#options.clock.monotonicMs() - TLS_HANDSHAKE_MS;
      const out =
        all.find(({ speaks }) => !speaks) ??
        all.find(({ sinceMs, handshake }) => sinceMs < lateMs && !handshake.authenticated);
      if (out !== undefined) this.#drop(out);
      return out !== undefined;
    }
    if (all.length < WAITING_MAX) return true;
    const oldest = all.find((waiting) => !waiting.handshake.authenticated) ?? all[0];
    if (oldest !== undefined) this.#drop(oldest);
    return true;
  }

  async #expire(waiting: Waiting): Promise<void> {
    const { clock, authenticateMs } = this.#options;
    try {
      await clock.sleep(authenticateMs, waiting.done.signal);
      if (waiting.handshake.authenticated) await clock.sleep(ASK_MS, waiting.done.signal);
    } catch {
      return; // the handshake ended in time
    }
    this.#counts.time++;
    this.#drop(waiting);
  }

  #receive(waiting: Waiting, chunk: Buffer): void {
    if (waiting.bytes === 0 && this.#door === null && chunk[0] === TLS_HANDSHAKE) {
      this.#note('tls-target', 'a TLS handshake');
      this.#drop(waiting);
      return;
    }
    waiting.bytes += chunk.length;
    if (waiting.bytes > HANDSHAKE_BYTES_MAX) {
      this.#counts.protocol++;
      this.#drop(waiting);
      return;
    }
    waiting.decoder.push(chunk);
    try {
      this.#converse(waiting);
    } catch {
      this.#counts.protocol++;
      this.#dismiss(waiting, encodeError('ERR Protocol error'));
    }
  }

  #converse(waiting: Waiting): void {
    const { decoder, handshake, socket } = waiting;
    for (let value = decoder.read(); value !== undefined; value = decoder.read()) {
      const args = commandArguments(value);
      if (args === null) throw new Error('not a command');
      const step = handshake.take(args);
      if (step.request !== null) {
        this.#letIn(waiting, step.request);
        return;
      }
      if (step.refused) {
        this.#counts.password++;
        this.#dismiss(waiting, step.reply);
        return;
      }
      if (step.reply !== null) socket.write(step.reply);
    }
  }

  #letIn(waiting: Waiting, request: PsyncRequest): void {
    this.#waiting.delete(waiting);
    waiting.done.abort();
    this.#trouble = null;
    // The link listens before this turn ends, so that no byte is lost between the two.
    waiting.socket.off('data', waiting.listener);
    const { clock, onArrival } = this.#options;
    onArrival(new ReplicaLink(waiting.socket, waiting.decoder, request, clock));
  }

  /** Answers and closes; what still comes in is thrown away until the socket is gone. */
  #dismiss(waiting: Waiting, reply: Buffer | null): void {
    waiting.socket.off('data', waiting.listener).resume();
    if (reply !== null) waiting.socket.write(reply);
    waiting.socket.destroySoon();
  }

  #drop(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    waiting.done.abort();
    waiting.socket.destroy();
  }
}
