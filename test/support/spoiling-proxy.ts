import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy that can put a byte into a replication stream which no server ever wrote. */
export class SpoilingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The next bytes of a connection that asked for PSYNC begin with another byte. */
  #due = false;

  private constructor(port: number) {
    this.#server = createServer((inner) => {
      const outer = connect(port, '127.0.0.1');
      let isLink = false;
      for (const socket of [inner, outer]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          inner.destroy();
          outer.destroy();
        });
      }
      inner.on('data', (chunk: Buffer) => {
        isLink ||= chunk.includes('PSYNC');
        outer.write(chunk);
      });
      outer.on('data', (chunk: Buffer) => {
        if (this.#due && isLink) {
          this.#due = false;
          chunk[0] = 0x21;
        }
        inner.write(chunk);
      });
    });
  }

  static async to(port: number): Promise<SpoilingProxy> {
    const proxy = new SpoilingProxy(port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Spoils what comes next. */
  spoil(): void {
    this.#due = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
