import { connect, type Socket } from 'node:net';
import { encodeCommand } from '@tidemark/resp';

/** A scripted replication client: says what it is told and keeps what it hears. */
export class FakeReplica implements Disposable {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  closed = false;
  private changed: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.notify();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.notify();
    });
  }

  static async to(port: number, host = '127.0.0.1'): Promise<FakeReplica> {
    const socket = connect({ port, host });
    const replica = new FakeReplica(socket);
    await new Promise<void>((resolve) => {
      socket.once('connect', resolve);
      socket.once('close', () => resolve());
    });
    return replica;
  }

  send(...args: string[]): void {
    this.socket.write(encodeCommand(args));
  }

  ack(offset: bigint | number): void {
    this.send('REPLCONF', 'ACK', String(offset));
  }

  /** The handshake of a real server up to PSYNC. */
  async attach(o: { user: string; password: string; psync: [string, string] }): Promise<void> {
    this.send('PING');
    this.send('AUTH', o.user, o.password);
    this.send('REPLCONF', 'listening-port', '6380');
    this.send('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
    await this.until((text) => text.split('+OK\r\n').length > 3);
    this.received = Buffer.alloc(0);
    this.send('PSYNC', ...o.psync);
  }

  /** Waits until what came in satisfies the test; rejects when the connection is closed before. */
  async until(test: (text: string) => boolean): Promise<string> {
    for (;;) {
      const text = this.received.toString('latin1');
      if (test(text)) return text;
      if (this.closed) throw new Error(`connection closed after ${JSON.stringify(text)}`);
      await new Promise<void>((resolve) => this.changed.push(resolve));
    }
  }

  async untilClosed(): Promise<string> {
    while (!this.closed) await new Promise<void>((resolve) => this.changed.push(resolve));
    return this.received.toString('latin1');
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  private notify(): void {
    for (const wake of this.changed.splice(0)) wake();
  }
}
