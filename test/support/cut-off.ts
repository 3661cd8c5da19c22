import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback through which one host reaches a server, and that can cut it off. */
export class CutOff implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target = 0;
  #isCut = false;

  private constructor() {
    this.#server = createServer((inner) => this.#carry(inner));
  }

  /** Listens; where to is said later: a server may have to know of the proxy first. */
  static async listen(): Promise<CutOff> {
    const proxy = new CutOff();
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Port of the server on this machine. */
  leadTo(port: number): void {
    this.#target = port;
  }

  /** What is under way ends, and nothing more gets through. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #carry(inner: Socket): void {
    if (this.#isCut) {
      inner.destroy();
      return;
    }
    const outer = connect(this.#target, '127.0.0.1');
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
