import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** One connection to a scripted primary, seen from the primary. */
export class PrimaryEnd {
  readonly socket: Socket;
  /** Commands heard so far, words joined by blanks; a bare newline is `\n`. */
  readonly heard: string[] = [];
  closed = false;
  private text = '';
  private changed: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1');
      for (let one = this.cutOne(); one !== null; one = this.cutOne()) this.heard.push(one);
      this.tell();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.tell();
    });
  }

  send(...parts: readonly (string | Uint8Array)[]): void {
    for (const part of parts) {
      this.socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part);
    }
  }

  /** Resolves when the test holds; rejects when the other end is gone before. */
  async until(test: (heard: readonly string[]) => boolean): Promise<void> {
    while (!test(this.heard)) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.heard)}`);
      await this.change();
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await this.change();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.changed.push(resolve));
  }

  private cutOne(): string | null {
    if (this.text.startsWith('\n')) {
      this.text = this.text.slice(1);
      return '\n';
    }
    const head = /^\*(\d+)\r\n/.exec(this.text);
    if (head === null) return null;
    const words: string[] = [];
    let at = head[0].length;
    for (let i = 0; i < Number(head[1]); i++) {
      const bulk = /^\$(\d+)\r\n/.exec(this.text.slice(at));
      if (bulk === null) return null;
      const from = at + bulk[0].length;
      at = from + Number(bulk[1]) + 2;
      if (this.text.length < at) return null;
      words.push(this.text.slice(from, at - 2));
    }
    this.text = this.text.slice(at);
    return words.join(' ');
  }

  private tell(): void {
    for (const wake of this.changed.splice(0)) wake();
  }
}

/** What a primary answers to the n-th command of the handshake; null for nothing. */
export type Answer = (command: string, end: PrimaryEnd) => string | null;

/** A primary on the loopback that says what a test wants. */
export class ScriptedPrimary implements AsyncDisposable {
  readonly ends: PrimaryEnd[] = [];
  private readonly server: Server;

  private constructor(answer: Answer) {
    this.server = createServer((socket) => {
      const end = new PrimaryEnd(socket);
      this.ends.push(end);
      let answered = 0;
      socket.on('data', () => {
        for (; answered < end.heard.length; answered++) {
          const command = end.heard[answered]!;
          if (command === '\n' || command.startsWith('REPLCONF ACK')) continue;
          const text = answer(command, end);
          if (text !== null) end.send(text);
        }
      });
    });
  }

  static async start(answer: Answer): Promise<ScriptedPrimary> {
    const primary = new ScriptedPrimary(answer);
    primary.server.listen(0, '127.0.0.1');
    await once(primary.server, 'listening');
    return primary;
  }

  /** Listens on another port from now on. */
  async moveTo(port: number): Promise<void> {
    this.server.close();
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** The newest connection. */
  get end(): PrimaryEnd {
    const end = this.ends.at(-1);
    if (end === undefined) throw new Error('nobody has connected');
    return end;
  }

  async dial(): Promise<Socket> {
    const socket = connect({ port: this.port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.ends) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** A socket whose bytes arrive in pieces of a size, each as a chunk of its own. */
export class PiecewiseSocket extends Duplex {
  private readonly socket: Socket;

  constructor(socket: Socket, pieceBytes: number) {
    super({ allowHalfOpen: false });
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        this.push(chunk.subarray(at, at + pieceBytes));
      }
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.socket.write(chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.socket.destroy();
    done(error);
  }
}
