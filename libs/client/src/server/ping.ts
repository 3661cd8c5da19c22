import { createConnection, type NetConnectOpts } from 'node:net';

/** What a server says to its first PING. */
export type PingAnswer = 'ready' | 'loading' | 'down';

/**
 * Asks once whether a server takes commands. A server that wants a password counts as ready.
 *
 * @param timeoutMs - After this many milliseconds without an answer it counts as down.
 */
export function pingOnce(target: NetConnectOpts, timeoutMs: number): Promise<PingAnswer> {
  return new Promise((resolve) => {
    const socket = createConnection(target);
    let answer = '';
    const finish = (result: PingAnswer): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => finish('down'));
    socket.on('error', () => finish('down'));
    socket.on('close', () => finish('down'));
    socket.on('connect', () => socket.write('*1\r\n$4\r\nPING\r\n'));
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (!answer.includes('\r\n') && answer.length < 512) return;
      if (answer.startsWith('+PONG') || answer.startsWith('-NOAUTH')) finish('ready');
      else finish(answer.startsWith('-LOADING') ? 'loading' : 'down');
    });
  });
}
