import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

/** A connection on which bytes are said just as a test wants them. */
export class RawHttp implements Disposable {
  readonly socket: Socket;
  readonly begunMs = performance.now();
  readonly closed: Promise<void>;
  #received = '';

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => (this.#received += text));
    socket.on('error', () => undefined); // a reset is one way of being closed
    this.closed = once(socket, 'close').then(() => undefined);
  }

  static async open(url: string): Promise<RawHttp> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return new RawHttp(socket);
  }

  get received(): string {
    return this.#received;
  }

  say(text: string): void {
    if (this.socket.writable) this.socket.write(text);
  }

  /** Says one byte after the other until it is closed. */
  dribble(text: string, everyMs: number): void {
    let at = 0;
    const timer = setInterval(() => this.say(text[at++ % text.length] ?? 'x'), everyMs);
    void this.closed.then(() => clearInterval(timer));
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
