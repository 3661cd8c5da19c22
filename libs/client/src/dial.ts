import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { NodeError, refuseUnverified } from '@tidemark/core';
import { describeAddress, type NodeAddress } from './node-address.ts';
import { connectionError, nodeError } from './node-errors.ts';
import { readHello, sayHello } from './hello.ts';
import { probePlain, probeTls } from './probe.ts';
import {
  clientCertificateError,
  plainPortError,
  tlsError,
  tlsPortError,
  verifyError,
  type TlsFailure,
} from './tls/tls-errors.ts';
import type { NodeTls } from './tls/node-tls.ts';
import { settingsError } from './tls/tls-settings.ts';

/** A plain port waits for the end of a line when it is greeted in TLS: then it is looked into. */
const SILENCE_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;

/** How a connection is opened. */
export interface DialOptions {
  /** For connecting, the handshake and the first answer together, milliseconds. */
  readonly timeoutMs: number;
  /** Gives up. */
  readonly signal?: AbortSignal;
  /**
   * Wait until the node has answered a PING. With TLS that is always done: a server that refuses our
   * certificate says so only after the handshake of TLS 1.3. Default true.
   */
  readonly hello?: boolean;
}

/**
 * Opens a connection to a node on which nobody has logged in: TCP, TLS or a unix socket, as the
 * address says. Whoever calls it adds a listener for 'error' at once.
 *
 * @throws NodeError `TM_NODE_UNREACHABLE`; `TM_TLS_VERIFY` (context.reason: unknown-ca, expired,
 *   not-yet-valid, wrong-name, wrong-use), `TM_TLS_CLIENT_CERT`, `TM_TLS_PROTOCOL` (context.reason:
 *   version, handshake, plain-port, tls-port); UsageError `TM_TLS_SETTINGS`; the signal's reason.
 */
export async function dialNode(address: NodeAddress, options: DialOptions): Promise<Socket> {
  if (address.secure === true && address.tls === undefined) {
    throw settingsError(
      `${describeAddress(address)} asks for TLS, and nothing says how`,
      'open the settings for it first: a connection without TLS is no way out',
    );
  }
  if (address.tls !== undefined) refuseUnverified(process.env);
  options.signal?.throwIfAborted();
  const attempt = new Attempt(address, options);
  try {
    return await Promise.race([attempt.run(), attempt.late]);
  } catch (error) {
    attempt.abandon();
    throw error;
  } finally {
    attempt.settle();
  }
}

class Attempt {
  readonly late: Promise<never>;
  settle: () => void = () => undefined;
  readonly #address: NodeAddress;
  readonly #node: string;
  readonly #hello: boolean;
  readonly #ended = new AbortController();
  #socket: Socket | null = null;

  constructor(address: NodeAddress, { timeoutMs, signal, hello = true }: DialOptions) {
    this.#address = address;
    this.#node = describeAddress(address);
    this.#hello = hello;
    this.late = new Promise<never>((_, reject) => {
      const late = new Error(`no answer within ${timeoutMs} ms`);
      const timer = setTimeout(() => reject(this.#broken(late)), timeoutMs);
      const abort = (): void => reject(signal?.reason as Error);
      signal?.addEventListener('abort', abort, { once: true });
      this.settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#ended.abort();
      };
    });
    this.late.catch(() => undefined); // the race may have another end
  }

  abandon(): void {
    this.#ended.abort();
    this.#socket?.on('error', () => undefined);
    this.#socket?.destroy();
  }

  async run(): Promise<Socket> {
    const raw = await this.#connect();
    const { tls } = this.#address;
    if (tls !== undefined) return this.#secure(raw, tls);
    return this.#hello ? this.#greetPlain(raw) : raw;
  }

  async #connect(): Promise<Socket> {
    const { host, port, path } = this.#address;
    const socket = connectTcp({
      ...(path === undefined ? { host, port } : { path }),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    this.#take(socket);
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error): void => reject(this.#broken(error));
      socket.once('error', fail);
      socket.once('connect', () => {
        socket.off('error', fail);
        resolve();
      });
    });
    return socket;
  }

  /** The race may be over before the connection is there. */
  #take(socket: Socket): void {
    this.#socket = socket;
    if (!this.#ended.signal.aborted) return;
    socket.on('error', () => undefined);
    socket.destroy();
  }

  async #greetPlain(socket: Socket): Promise<Socket> {
    try {
      const answer = await this.#answerOf(socket);
      if (answer.startsWith('\x15')) throw tlsPortError(this.#node);
      return socket;
    } catch (error) {
      throw await explainPlain(this.#address, error, this.#ended.signal);
    }
  }

  async #secure(raw: Socket, tls: NodeTls): Promise<Socket> {
    const { host, port } = this.#address;
    const { options, attend, prove, forget } = tls.connectTo({ host, port });
    const socket = connectTls({ ...options, socket: raw });
    attend(socket);
    this.#take(socket);
    try {
      await Promise.race([this.#shakeHands(socket, tls), this.#unlessSilent(raw)]);
      prove(socket);
    } catch (error) {
      forget();
      throw error;
    }
    let answer: string;
    try {
      answer = await this.#answerOf(socket);
    } catch (error) {
      forget();
      throw this.#refusal(error, socket, tls);
    }
    if (/^-ERR max number of clients/.test(answer)) throw this.#broken(new Error(answer));
    if (answer.startsWith('-DENIED')) throw this.#denied(answer);
    return socket;
  }

  #shakeHands(socket: TLSSocket, tls: NodeTls): Promise<void> {
    return new Promise((resolve, reject) => {
      let subject: string | null = null;
      // Before Node.js decides on it: a refused certificate is gone with the connection.
      socket.prependListener('secure', () => (subject = subjectOf(socket)));
      const fail = (error: Error): void => {
        const facts = this.#failure(tls, subject ?? subjectOf(socket), 'handshake');
        // Set by Node.js when the certificate did not hold; typed as an Error, in truth a code.
        const unauthorized = socket.authorizationError as unknown;
        const known =
          typeof unauthorized === 'string'
            ? verifyError(unauthorized, facts)
            : tlsError(codeOf(error), facts);
        reject(known ?? this.#broken(error));
      };
      const closed = (): void => fail(new Error('the connection was closed in the handshake'));
      socket.once('error', fail);
      socket.once('close', closed);
      socket.once('secureConnect', () => {
        socket.off('error', fail);
        socket.off('close', closed);
        resolve();
      });
    });
  }

  /** Rejects when nothing comes back and the port turns out to be a plain one. */
  async #unlessSilent(raw: Socket): Promise<never> {
    const { signal } = this.#ended;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, SILENCE_MS);
      signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    });
    if (raw.bytesRead === 0 && (await probePlain(this.#address, signal))) {
      throw plainPortError(this.#node);
    }
    return this.late;
  }

  /** After the handshake: the first answer did not come. */
  #refusal(error: unknown, socket: TLSSocket, tls: NodeTls): unknown {
    if (error instanceof NodeError) return error;
    const code = codeOf(error);
    const facts = this.#failure(tls, subjectOf(socket), 'hello');
    const known = tlsError(code, facts);
    if (known !== null) return known;
    const isClosed = code === 'ECONNRESET' || code === 'EPIPE' || code === '';
    // The refusal itself may be lost: the node closes while our first bytes are on the way to it.
    return isClosed ? clientCertificateError('closed', facts) : this.#broken(error);
  }

  async #answerOf(socket: Socket): Promise<string> {
    sayHello(socket);
    return readHello(socket, this.#ended.signal);
  }

  #failure(tls: NodeTls, subject: string | null, phase: TlsFailure['phase']): TlsFailure {
    const shows = tls.settings.certFile !== undefined;
    return { node: this.#node, name: tls.nameOf(this.#address), shows, subject, phase };
  }

  #denied(answer: string): NodeError {
    const reply = Object.assign(new Error(answer.slice(1)), { name: 'ReplyError' });
    return nodeError(reply, { node: this.#node, command: 'PING' });
  }

  #broken(error: unknown): NodeError {
    return connectionError(error, { node: this.#node, command: 'connecting' });
  }
}

/**
 * Why a connection without TLS broke before its first answer: servers close a TLS port that is
 * spoken to plain without a word, so that is tried.
 * @returns `TM_TLS_PROTOCOL`, or the error as it was, with a code.
 */
export async function explainPlain(
  address: NodeAddress,
  error: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  if (error instanceof NodeError && error.code !== 'TM_NODE_UNREACHABLE') return error;
  const node = describeAddress(address);
  const known = connectionError(error, { node, command: 'connecting' });
  const errno = known.context['errno'];
  if (address.path !== undefined || signal.aborted) return known;
  // Nobody listened, or the way there failed: that has nothing to do with TLS.
  const mayBeTls = errno === null || errno === 'ECONNRESET' || errno === 'EPIPE';
  return mayBeTls && (await probeTls(address, signal)) ? tlsPortError(node) : known;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}

function subjectOf(socket: TLSSocket): string | null {
  // Null, or an object without anything, where the handshake did not come that far.
  const shown: unknown = socket.getPeerCertificate();
  const { subject } = (shown ?? {}) as { readonly subject?: { readonly CN?: unknown } };
  if (subject === undefined) return null;
  return typeof subject.CN === 'string' ? subject.CN.slice(0, 200) : '';
}
