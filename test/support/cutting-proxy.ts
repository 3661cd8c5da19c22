import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy that can cut its connections, at once or after so many bytes to the client. */
export class CuttingProxy implements AsyncDisposable {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  /** Bytes to the client after which the next connection is cut; used up from the front. */
  readonly cuts: number[] = [];
  connections = 0;
  /** The next connection that carries so many bytes to the client is cut then; null: none. */
  breakAt: number | null = null;

  private constructor(port: number) {
    this.server = createServer((inner) => {
      this.connections++;
      const outer = connect(port, '127.0.0.1');
      let left = this.cuts.shift() ?? Infinity;
      let carried = 0;
      for (const socket of [inner, outer]) {
        this.sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.sockets.delete(socket);
          inner.destroy();
          outer.destroy();
        });
      }
      inner.pipe(outer);
      outer.on('data', (chunk: Buffer) => {
        left -= chunk.length;
        carried += chunk.length;
        if (this.breakAt !== null && carried > this.breakAt) {
          this.breakAt = null;
          left = -1;
        }
        if (left < 0) {
          inner.destroy();
        } else if (!inner.write(chunk)) {
          outer.pause();
          inner.once('drain', () => outer.resume());
        }
      });
    });
  }

  static async to(port: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(port);
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  cutAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cutAll();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}
