import { connect, type Socket } from 'node:net';
import type { NodeAddress } from '@tidemark/client';

const DIAL_MS = 10_000;

/** A connection to a node that nobody has logged in on. */
export function dialLink(address: NodeAddress): (signal: AbortSignal) => Promise<Socket> {
  return (signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const { path, host, port } = address;
      const socket = path === undefined ? connect({ host, port }) : connect({ path });
      const end = (cause: Error): void => {
        signal.removeEventListener('abort', abort);
        socket.destroy();
        reject(cause);
      };
      const abort = (): void => end(signal.reason as Error);
      signal.addEventListener('abort', abort, { once: true });
      socket.setTimeout(DIAL_MS, () => end(new Error('no connection within 10 s')));
      socket.once('error', end);
      socket.once('connect', () => {
        signal.removeEventListener('abort', abort);
        socket.removeListener('error', end);
        socket.setTimeout(0);
        socket.setNoDelay(true);
        resolve(socket);
      });
    });
}
