import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';

const KEEP_ALIVE_MS = 10_000;

/**
 * The sockets of one client, so that they can be closed at once: kafkajs waits for answers that may
 * never come before it lets go of one.
 */
export class Sockets implements Disposable {
  readonly #open = new Set<Socket>();

  /** For the settings of kafkajs. */
  readonly factory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
    const name = isIP(host) === 0 ? { servername: host } : {};
    let isConnected = false;
    const ready = (): void => {
      isConnected = true;
      onConnect();
    };
    const socket = isTls(ssl)
      ? connectTls({ host, port, ...name, ...ssl, rejectUnauthorized: true }, ready)
      : connectTcp({ host, port }, ready);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.setNoDelay(true);
    // An end within the handshake: kafkajs would wait for ever.
    socket.once('end', () => {
      if (!isConnected) socket.destroy(new Error('the server closed the connection'));
    });
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  };

  /** Closes all of them; what waits for an answer fails. */
  [Symbol.dispose](): void {
    for (const socket of this.#open) socket.destroy(new Error('the client was closed'));
  }
}

/** kafkajs declares an object, and gives null or true too. */
function isTls(ssl: unknown): boolean {
  return ssl !== null && typeof ssl === 'object';
}
