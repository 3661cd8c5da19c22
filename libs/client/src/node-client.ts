import type { Socket } from 'node:net';
import { NodeError, TidemarkError } from '@tidemark/core';
import { AbstractConnector, Command, Redis } from 'ioredis';
import { dialNode, explainPlain } from './dial.ts';
import { Info } from './info.ts';
import { describeAddress, type NodeAddress } from './node-address.ts';
import { connectionError, isServerReply, nodeError, type ErrorPlace } from './node-errors.ts';

/** For finding out why a connection broke at once. */
const EXPLAIN_MS = 2_000;

/** One word of a command. */
export type Argument = string | number | Buffer;

/** How to connect. */
export interface ConnectOptions {
  /** For connecting, logging in and the first answer together. Default 10,000 ms. */
  readonly timeoutMs?: number;
  /**
   * For each later reply; after it the connection is closed, for nobody knows what became of the
   * command. 0 waits without end (SAVE, FLUSHALL of much data). Default 60,000 ms.
   */
  readonly replyTimeoutMs?: number;
  /** Shown in CLIENT LIST. Default 'tidemark'. */
  readonly name?: string;
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
}

/**
 * A control connection to one server, RESP2.
 *
 * It never reconnects: when the connection is lost, every pending and every later call rejects with
 * `TM_NODE_UNREACHABLE`, and nothing is sent twice. Error replies become `TM_NODE_RIGHTS` (the user
 * may not run the command), `TM_NODE_AUTH` or `TM_NODE_REPLY`; arguments never get into an error.
 */
export interface NodeClient extends AsyncDisposable {
  readonly address: NodeAddress;
  /** Our own IP address on this connection; 127.0.0.1 on a unix socket. */
  readonly localAddress: string;
  /** The server's IP address; 127.0.0.1 on a unix socket. */
  readonly remoteAddress: string;
  readonly isOpen: boolean;
  /** Resolves when the connection has ended, whatever the reason. */
  readonly closed: Promise<void>;

  /** One command; bulk strings of the reply are decoded as UTF-8. */
  call(command: string, ...args: Argument[]): Promise<unknown>;
  /** One command; strings of the reply are buffers. */
  callBuffer(command: string, ...args: Argument[]): Promise<unknown>;
  /**
   * Several commands in one write; commands of other callers do not come between them.
   *
   * @returns The replies in order; where the server answered with an error, a `NodeError`.
   * @throws NodeError `TM_NODE_UNREACHABLE` when the connection is lost before the last reply.
   */
  pipeline(commands: readonly (readonly Argument[])[]): Promise<unknown[]>;
  /** As `pipeline`; strings of the replies are buffers. */
  pipelineBuffer(commands: readonly (readonly Argument[])[]): Promise<unknown[]>;
  /** INFO of the sections (default: what the server gives by default), merged. */
  info(...sections: string[]): Promise<Info>;
  configGet(pattern: string): Promise<Record<string, string>>;
  configSet(name: string, value: string): Promise<void>;
  /** Listens to a channel; from then on the connection can do nothing else. */
  subscribe(channel: string, onMessage: (message: string) => void): Promise<void>;
  /** Closes the connection; pending calls reject. */
  close(): Promise<void>;
}

/**
 * Connects and logs in. A server that is still loading its data counts as connected.
 *
 * @throws NodeError `TM_NODE_UNREACHABLE`, `TM_NODE_AUTH`, `TM_TLS_…` as `dialNode`; the signal's
 *   reason.
 */
export async function connectNode(
  address: NodeAddress,
  options: ConnectOptions = {},
): Promise<NodeClient> {
  const { signal, timeoutMs = 10_000 } = options;
  signal?.throwIfAborted();
  const client = new IoredisClient(address, options.replyTimeoutMs ?? 60_000, timeoutMs);
  const place = { node: describeAddress(address), command: 'connecting' };
  let giveUp = (): void => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    const late = new Error(`no answer within ${timeoutMs} ms`);
    const timer = setTimeout(() => reject(connectionError(late, place)), timeoutMs);
    const abort = (): void => reject(signal?.reason as Error);
    signal?.addEventListener('abort', abort, { once: true });
    giveUp = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
  });
  try {
    await Promise.race([client.open(options.name ?? 'tidemark', signal), givenUp]);
    return client;
  } catch (error) {
    client.destroy();
    throw error;
  } finally {
    giveUp();
  }
}

class IoredisClient implements NodeClient {
  readonly address: NodeAddress;
  readonly closed: Promise<void>;
  localAddress = '127.0.0.1';
  remoteAddress = '127.0.0.1';
  private readonly redis: Redis;
  private readonly replyTimeoutMs: number;
  private readonly node: string;
  private lastError: Error | null = null;
  private readonly dialling = new AbortController();

  constructor(address: NodeAddress, replyTimeoutMs: number, connectTimeoutMs: number) {
    this.address = address;
    this.replyTimeoutMs = replyTimeoutMs;
    this.node = describeAddress(address);
    const { signal } = this.dialling;
    // With TLS the answer to the first PING says whether the server took us.
    const hello = address.tls !== undefined;
    const dial = (): Promise<Socket> =>
      dialNode(address, { timeoutMs: connectTimeoutMs, signal, hello });
    this.redis = new Redis({
      Connector: connectorOf(dial),
      protocol: 2,
      lazyConnect: true,
      connectTimeout: connectTimeoutMs,
      disconnectTimeout: 1000,
      retryStrategy: () => null,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      disableClientInfo: true,
    });
    this.redis.on('error', (error: Error) => (this.lastError ??= error));
    this.closed = new Promise((resolve) => this.redis.once('end', resolve));
  }

  get isOpen(): boolean {
    return this.redis.status === 'ready';
  }

  async open(name: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.redis.connect();
    } catch (error) {
      const cause = this.lastError ?? error;
      if (cause instanceof TidemarkError) throw cause;
      throw connectionError(cause, { node: this.node, command: 'connecting' });
    }
    if (this.address.path === undefined) {
      const { stream } = this.redis;
      this.localAddress = plainIp(stream.localAddress);
      this.remoteAddress = plainIp(stream.remoteAddress);
    }
    try {
      await this.greet(name);
    } catch (error) {
      if (this.address.tls !== undefined) throw error;
      if (signal?.aborted === true) throw error;
      const end = AbortSignal.timeout(EXPLAIN_MS);
      const either = signal === undefined ? end : AbortSignal.any([signal, end]);
      throw await explainPlain(this.address, error, either);
    }
  }

  private async greet(name: string): Promise<void> {
    await this.logIn();
    const [, answer] = await this.pipeline([['CLIENT', 'SETNAME', name], ['PING']]);
    if (answer instanceof NodeError && answer.code === 'TM_NODE_AUTH') throw answer;
  }

  private async logIn(): Promise<void> {
    const { username, password } = this.address;
    if (username === undefined && password === undefined) return;
    const user = username === undefined ? [] : [username];
    try {
      await this.send(['AUTH', ...user, password ?? ''], 'utf8');
    } catch (error) {
      const text = isServerReply(error) ? error.message : '';
      // Nobody asked for the password: as good as a right one.
      if (/no password is set|without any password configured/.test(text)) return;
      const known = this.errorOf(error, 'AUTH');
      if (known.code !== 'TM_NODE_REPLY') throw known;
      throw new NodeError('TM_NODE_AUTH', 'the server does not take this user and password', {
        context: known.context,
        hint: 'servers before 6.0 know no users: leave the user away',
      });
    }
  }

  call(command: string, ...args: Argument[]): Promise<unknown> {
    return this.one([command, ...args], 'utf8');
  }

  callBuffer(command: string, ...args: Argument[]): Promise<unknown> {
    return this.one([command, ...args], null);
  }

  private async one(words: readonly Argument[], encoding: 'utf8' | null): Promise<unknown> {
    try {
      return await this.send(words, encoding);
    } catch (error) {
      throw this.errorOf(error, nameOf(words));
    }
  }

  pipeline(commands: readonly (readonly Argument[])[]): Promise<unknown[]> {
    return this.together(commands, 'utf8');
  }

  pipelineBuffer(commands: readonly (readonly Argument[])[]): Promise<unknown[]> {
    return this.together(commands, null);
  }

  private async together(
    commands: readonly (readonly Argument[])[],
    encoding: 'utf8' | null,
  ): Promise<unknown[]> {
    const { stream } = this.redis as { stream: Redis['stream'] | undefined };
    stream?.cork();
    const pending = commands.map((words) => this.send(words, encoding));
    stream?.uncork();
    const settled = await Promise.allSettled(pending);
    return settled.map((result, i) => {
      if (result.status === 'fulfilled') return result.value;
      const error = this.errorOf(result.reason, nameOf(commands[i] ?? []));
      if (error.code === 'TM_NODE_UNREACHABLE') throw error;
      return error;
    });
  }

  private send(words: readonly Argument[], encoding: 'utf8' | null): Promise<unknown> {
    const [name = '', ...args] = words;
    // Upper case keeps the library's own conversions of some replies away.
    const command = new Command(String(name).toUpperCase(), args, { replyEncoding: encoding });
    if (this.replyTimeoutMs > 0) command.setTimeout(this.replyTimeoutMs);
    return this.redis.sendCommand(command) as Promise<unknown>;
  }

  private errorOf(error: unknown, command: string): NodeError {
    const place: ErrorPlace = { node: this.node, command };
    if (error instanceof NodeError || isServerReply(error)) return nodeError(error, place);
    this.destroy();
    return connectionError(this.lastError ?? error, place);
  }

  async info(...sections: string[]): Promise<Info> {
    // One INFO per section: servers before 7.0 take only one.
    const commands = sections.length === 0 ? [['INFO']] : sections.map((name) => ['INFO', name]);
    const texts = await this.pipeline(commands);
    for (const text of texts) if (text instanceof Error) throw text;
    return Info.parse(texts.map(String).join('\n'));
  }

  async configGet(pattern: string): Promise<Record<string, string>> {
    const reply = await this.call('CONFIG', 'GET', pattern);
    const flat = Array.isArray(reply) ? (reply as unknown[]) : [];
    const settings: Record<string, string> = {};
    for (let i = 0; i + 1 < flat.length; i += 2) settings[String(flat[i])] = String(flat[i + 1]);
    return settings;
  }

  async configSet(name: string, value: string): Promise<void> {
    await this.call('CONFIG', 'SET', name, value);
  }

  async subscribe(channel: string, onMessage: (message: string) => void): Promise<void> {
    this.redis.on('message', (from: string, message: string) => {
      if (from === channel) onMessage(message);
    });
    // In lower case the library knows it for what it is and takes what comes as messages.
    const command = new Command('subscribe', [channel], { replyEncoding: 'utf8' });
    if (this.replyTimeoutMs > 0) command.setTimeout(this.replyTimeoutMs);
    try {
      await this.redis.sendCommand(command);
    } catch (error) {
      throw this.errorOf(error, 'SUBSCRIBE');
    }
  }

  async close(): Promise<void> {
    if (this.redis.status === 'end') return;
    this.redis.disconnect();
    await this.closed;
  }

  /** Ends the connection without waiting for anything. */
  destroy(): void {
    this.dialling.abort();
    if (this.redis.status === 'end') return;
    this.redis.disconnect();
    const { stream } = this.redis as { stream: Redis['stream'] | undefined };
    stream?.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The way of ioredis to be given a connection that was opened elsewhere. */
function connectorOf(dial: () => Promise<Socket>): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(1000);
    }

    async connect(): Promise<Socket> {
      this.connecting = true;
      this.stream = await dial();
      return this.stream;
    }
  };
}

/** Commands whose second word is part of the name. */
const WITH_SUBCOMMAND = new Set([
  'ACL',
  'CLIENT',
  'CLUSTER',
  'COMMAND',
  'CONFIG',
  'DEBUG',
  'FUNCTION',
  'LATENCY',
  'MEMORY',
  'MODULE',
  'OBJECT',
  'SCRIPT',
  'SENTINEL',
  'SLOWLOG',
  'XGROUP',
  'XINFO',
]);

function nameOf(words: readonly Argument[]): string {
  const name = String(words[0] ?? '').toUpperCase();
  return WITH_SUBCOMMAND.has(name) ? `${name} ${String(words[1] ?? '').toUpperCase()}` : name;
}

/** An IPv4 address that came mapped into IPv6 as plain IPv4. */
function plainIp(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}
