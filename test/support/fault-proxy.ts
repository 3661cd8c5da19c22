import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Fault } from './fault-proxy-faults.ts';

/** Headers that belong to one connection, or that the proxy has answered itself. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'expect', 'transfer-encoding']);

/** Which requests a rule is for; what is left out matches everything. */
export interface RequestMatch {
  readonly method?: string;
  /** Tested against path and query, as sent. */
  readonly path?: RegExp;
  /** Tested against `X-Amz-Target`, which names the operation of KMS. */
  readonly target?: RegExp;
  /** Tested against the access key that signed the request. */
  readonly identity?: RegExp;
  /** Only the nth request that matches otherwise, from 1. */
  readonly nth?: number;
}

/** A fault, for whom and how often. */
export interface FaultRule {
  readonly match: RequestMatch;
  readonly fault: Fault;
  /** How often it strikes. Default: once. `Infinity`: until it is taken out. */
  readonly times?: number;
}

/** A request that came to the proxy. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly target: string | null;
  /** Access key that signed it; null when it is not signed. */
  readonly identity: string | null;
  /** The fault it ran into; null when it was passed on as it is. */
  readonly fault: Fault['kind'] | null;
}

/**
 * An HTTP proxy on loopback before a real server of S3 or KMS, that does what networks and busy
 * servers do. It passes the `Host` header on as the client wrote it, so that signatures hold.
 */
export class FaultProxy implements AsyncDisposable {
  /** The first rule that matches a request and is not used up strikes. */
  readonly rules: FaultRule[] = [];
  /** All requests so far, in order. */
  readonly requests: SeenRequest[] = [];
  /** A header of requests that does not reach the server, as of one that does not know it. */
  dropHeader: string | null = null;
  readonly #target: URL;
  /** No connection is used twice: one that the server closes meanwhile would be a fault of ours. */
  readonly #agent = new Agent({ keepAlive: false });
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #matched = new WeakMap<FaultRule, number>();
  readonly #struck = new WeakMap<FaultRule, number>();
  readonly #over = new AbortController();
  #down = false;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer(
      { requestTimeout: 0, keepAliveTimeout: 60_000 },
      (inner, answer) => {
        inner.on('error', () => undefined);
        answer.on('error', () => undefined);
        this.#serve(inner, answer).catch(() => inner.socket.destroy());
      },
    );
    this.#server.on('connection', (socket) => {
      if (this.#down) {
        socket.destroy();
        return;
      }
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Starts one before the server at this address (`http://127.0.0.1:PORT`). */
  static async start(targetUrl: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(new URL(targetUrl));
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** What the client is given instead of the address of the server. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Whether the server is away: every connection is cut, those there are and those to come. */
  get down(): boolean {
    return this.#down;
  }
  set down(down: boolean) {
    this.#down = down;
    if (down) this.cutAll();
  }

  /** How many of the requests so far match. */
  count(match: Omit<RequestMatch, 'nth'> = {}): number {
    return this.requests.filter((seen) => matches(match, seen)).length;
  }

  /** How often a rule has struck. */
  struck(rule: FaultRule): number {
    return this.#struck.get(rule) ?? 0;
  }

  /** Cuts all connections that are open now. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    this.cutAll();
    this.#agent.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(inner: IncomingMessage, answer: ServerResponse): Promise<void> {
    const target = inner.headers['x-amz-target'];
    const asked = {
      method: inner.method ?? 'GET',
      path: inner.url ?? '/',
      target: typeof target === 'string' ? target : null,
      identity: /Credential=([^/]+)/.exec(inner.headers.authorization ?? '')?.[1] ?? null,
    };
    const fault = this.#strike(asked);
    this.requests.push({ ...asked, fault: fault?.kind ?? null });
    if (fault === null) await pass(await this.#forward(inner, inner), answer);
    else await this.#fail(fault, inner, answer);
  }

  #strike(asked: Omit<SeenRequest, 'fault'>): Fault | null {
    for (const rule of this.rules) {
      if (!matches(rule.match, asked)) continue;
      const seen = (this.#matched.get(rule) ?? 0) + 1;
      this.#matched.set(rule, seen);
      if (rule.match.nth !== undefined && rule.match.nth !== seen) continue;
      const struck = this.#struck.get(rule) ?? 0;
      if (struck >= (rule.times ?? 1)) continue;
      this.#struck.set(rule, struck + 1);
      return rule.fault;
    }
    return null;
  }

  async #fail(fault: Fault, inner: IncomingMessage, answer: ServerResponse): Promise<void> {
    switch (fault.kind) {
      case 'answer':
        if (fault.apply) await readAll(await this.#forward(inner, inner));
        else await readAll(inner);
        send(answer, fault.answer);
        return;
      case 'slow':
        await sleep(fault.delayMs ?? 0, undefined, { signal: this.#over.signal });
        await trickle(await this.#forward(inner, inner), answer, fault.bytesPerSecond ?? Infinity);
        return;
      case 'half': {
        const whole = await answerOf(await this.#forward(inner, inner));
        answer.writeHead(whole.status, withLength(whole));
        // Without a body there is no half of one: the headers arrive and the connection ends.
        answer.flushHeaders();
        const half = whole.body.subarray(0, whole.body.length >> 1);
        inner.socket.write(half, () => inner.socket.destroy());
        return;
      }
      case 'short': {
        const whole = await answerOf(await this.#forward(inner, inner));
        send(answer, { ...whole, body: whole.body.subarray(0, whole.body.length >> 1) });
        return;
      }
      case 'half-request':
        await this.#forwardHalf(inner, await readAll(inner));
        inner.socket.destroy();
        return;
      case 'reset':
      case 'silent':
        if (fault.apply) await readAll(await this.#forward(inner, inner));
        else await readAll(inner);
        if (fault.kind === 'reset') inner.socket.destroy();
        return;
      case 'duplicate': {
        const body = await readAll(inner);
        await readAll(await this.#forward(inner, body));
        await pass(await this.#forward(inner, body), answer);
        return;
      }
      case 'edit':
        send(answer, fault.edit(await answerOf(await this.#forward(inner, inner))));
        return;
    }
  }

  /** Sends the request to the server, with the body streamed or as it was read. */
  #forward(inner: IncomingMessage, body: IncomingMessage | Buffer): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outer = this.#request(inner);
      outer.on('response', resolve);
      outer.on('error', reject);
      inner.on('close', () => {
        if (!inner.complete) outer.destroy();
      });
      if (Buffer.isBuffer(body)) outer.end(body);
      else body.pipe(outer);
    });
  }

  #forwardHalf(inner: IncomingMessage, body: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const outer = this.#request(inner);
      outer.on('error', () => undefined);
      outer.on('close', resolve);
      outer.write(body.subarray(0, body.length >> 1), () => outer.destroy());
    });
  }

  #passedOn(inner: IncomingMessage): Record<string, string> {
    const headers = headersOf(inner, inner.headers['transfer-encoding'] === 'chunked');
    const kept = Object.entries(headers).filter(([name]) => name !== this.dropHeader);
    return Object.fromEntries(kept);
  }

  #request(inner: IncomingMessage): ReturnType<typeof httpRequest> {
    const { hostname, port } = this.#target;
    return httpRequest({
      host: hostname,
      port,
      agent: this.#agent,
      method: inner.method ?? 'GET',
      path: inner.url ?? '/',
      // A body of unknown length stays one.
      headers: this.#passedOn(inner),
      setHost: false,
    });
  }
}

function matches(match: RequestMatch, asked: Omit<SeenRequest, 'fault'>): boolean {
  const { method, path, target, identity } = match;
  if (method !== undefined && method !== asked.method) return false;
  if (path !== undefined && !path.test(asked.path)) return false;
  if (identity !== undefined && !identity.test(asked.identity ?? '')) return false;
  return target === undefined || (asked.target !== null && target.test(asked.target));
}

function headersOf(message: IncomingMessage, chunked = false): Record<string, string> {
  const out: Record<string, string> = chunked ? { 'transfer-encoding': 'chunked' } : {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value === undefined || HOP_BY_HOP.has(name)) continue;
    out[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return out;
}

/** The length that the headers tell, or that of the body; of an answer to HEAD they tell more. */
function withLength(answer: Answer): Record<string, string> {
  return { 'content-length': String(answer.body.length), ...answer.headers };
}

async function answerOf(message: IncomingMessage): Promise<Answer> {
  const [headers, status] = [headersOf(message), message.statusCode ?? 502];
  return { status, headers, body: await readAll(message) };
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function send(answer: ServerResponse, { status, headers, body }: Answer): void {
  const rest = Object.entries(headers).filter(([name]) => name !== 'content-length');
  const length = status === 204 || status === 304 ? {} : { 'content-length': String(body.length) };
  answer.writeHead(status, { ...Object.fromEntries(rest), ...length });
  answer.end(body);
}

async function pass(from: IncomingMessage, answer: ServerResponse): Promise<void> {
  await trickle(from, answer, Infinity);
}

async function trickle(
  from: IncomingMessage,
  answer: ServerResponse,
  bytesPerSecond: number,
): Promise<void> {
  answer.writeHead(from.statusCode ?? 502, headersOf(from));
  for await (const part of from) {
    for (const piece of piecesOf(part as Buffer, bytesPerSecond)) {
      if (answer.destroyed) return;
      if (bytesPerSecond !== Infinity) await sleep((piece.length * 1000) / bytesPerSecond);
      answer.write(piece);
      if (answer.writableNeedDrain) await drained(answer);
    }
  }
  answer.end();
}

/** Pieces of a tenth of a second. */
function* piecesOf(part: Buffer, bytesPerSecond: number): Generator<Buffer> {
  const step =
    bytesPerSecond === Infinity ? part.length : Math.max(1, Math.ceil(bytesPerSecond / 10));
  for (let at = 0; at < part.length; at += step) yield part.subarray(at, at + step);
}

function drained(answer: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      answer.off('drain', done);
      answer.off('close', done);
      resolve();
    };
    answer.on('drain', done);
    answer.on('close', done);
  });
}
