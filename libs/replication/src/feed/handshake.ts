import { createHash, timingSafeEqual } from 'node:crypto';
import { encodeError, encodeSimple } from '@tidemark/resp';

/** A server's request for the data. */
export interface PsyncRequest {
  /** Replication id that it names, `?` for none. */
  readonly replicationId: string;
  /** Offset of the last byte that it has; `null` when it has none. */
  readonly offset: bigint | null;
  /** It announced `capa eof`: takes a snapshot whose length is not known beforehand. */
  readonly eof: boolean;
  /** It announced `capa psync2`: `+CONTINUE` may carry an id. */
  readonly psync2: boolean;
}

/** What is to be done after one command. */
export interface HandshakeStep {
  readonly reply: Buffer | null;
  /** The connection is to be closed after the reply. */
  readonly refused: boolean;
  readonly request: PsyncRequest | null;
}

const COMMANDS_MAX = 64;
const OFFSET = /^-?[0-9]{1,19}$/;
const more = (reply: Buffer): HandshakeStep => ({ reply, refused: false, request: null });
const refuse = (text: string): HandshakeStep => ({
  reply: encodeError(text),
  refused: true,
  request: null,
});

const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/**
 * The master's half of the handshake of one connection, without a socket: redis replication.c,
 * `syncWithMaster`. Nothing but AUTH is answered before AUTH.
 */
export class Handshake {
  readonly #user: Buffer;
  readonly #password: Buffer;
  readonly #capabilities = new Set<string>();
  #authenticated = false;
  #commands = 0;

  constructor(credentials: { readonly user: string; readonly password: string }) {
    this.#user = digest(Buffer.from(credentials.user));
    this.#password = digest(Buffer.from(credentials.password));
  }

  get authenticated(): boolean {
    return this.#authenticated;
  }

  /** Answers one command. */
  take(args: readonly Buffer[]): HandshakeStep {
    if (++this.#commands > COMMANDS_MAX) return refuse('ERR too many commands');
    const name = args[0]?.toString('latin1').toUpperCase() ?? '';
    if (name === 'AUTH') return this.#authenticate(args);
    if (!this.#authenticated) return more(encodeError('NOAUTH Authentication required.'));
    switch (name) {
      case 'PING':
        return more(encodeSimple('PONG'));
      case 'REPLCONF':
        return this.#configure(args);
      case 'PSYNC':
        return this.#psync(args);
      default:
        return more(encodeError('ERR unknown command, this is a replication feed'));
    }
  }

  #authenticate(args: readonly Buffer[]): HandshakeStep {
    const [, user, password] = args;
    if (args.length !== 3 || user === undefined || password === undefined) {
      return refuse('WRONGPASS a user and a password are needed');
    }
    // Both are compared always, by digests of one length: the time says nothing about either.
    const userFits = timingSafeEqual(digest(user), this.#user);
    const passwordFits = timingSafeEqual(digest(password), this.#password);
    this.#authenticated = userFits && passwordFits;
    if (!this.#authenticated) return refuse('WRONGPASS invalid user or password');
    return more(encodeSimple('OK'));
  }

  #configure(args: readonly Buffer[]): HandshakeStep {
    for (let i = 1; i + 1 < args.length; i += 2) {
      const option = args[i]?.toString('latin1').toLowerCase();
      if (option === 'capa') this.#capabilities.add(args[i + 1]?.toString('latin1') ?? '');
      if (option === 'ack') return { reply: null, refused: false, request: null };
    }
    return more(encodeSimple('OK'));
  }

  #psync(args: readonly Buffer[]): HandshakeStep {
    const replicationId = args[1]?.toString('latin1') ?? '';
    const next = args[2]?.toString('latin1') ?? '';
    if (args.length !== 3 || replicationId.length > 40 || !OFFSET.test(next)) {
      return refuse('ERR PSYNC with an id and an offset is needed');
    }
    const offset = BigInt(next) - 1n;
    const request = {
      replicationId,
      offset: offset < 0n ? null : offset,
      eof: this.#capabilities.has('eof'),
      psync2: this.#capabilities.has('psync2'),
    };
    return { reply: null, refused: false, request };
  }
}
