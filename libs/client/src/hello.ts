import type { Socket } from 'node:net';

const HELLO = '*1\r\n$4\r\nPING\r\n';
const ANSWER_BYTES_MAX = 1024;

/** Asks a node for a sign of life; it answers without a login too, if only with a refusal. */
export function sayHello(socket: Socket): void {
  socket.write(HELLO);
}

/**
 * Reads the first line of an answer; whatever comes after it stays in the socket.
 * @returns The line without its end; of what is no RESP, the first bytes (latin1).
 * @throws Error when the connection breaks or ends before; the signal's reason.
 */
export function readHello(socket: Socket, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    const settle = (): void => {
      socket.off('readable', read);
      socket.off('error', fail);
      socket.off('end', ended);
      socket.off('close', ended);
      signal.removeEventListener('abort', aborted);
    };
    const fail = (error: Error): void => {
      settle();
      reject(error);
    };
    const ended = (): void => fail(new Error('the connection was closed before the first answer'));
    const aborted = (): void => fail(signal.reason as Error);
    const read = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      held = Buffer.concat([held, chunk]);
      const end = held.indexOf('\r\n');
      const isResp = held[0] === 0x2b || held[0] === 0x2d; // '+' or '-'
      if (end < 0 && isResp && held.length < ANSWER_BYTES_MAX) return;
      settle();
      const taken = isResp && end >= 0 ? end + 2 : held.length;
      if (taken < held.length) socket.unshift(held.subarray(taken));
      resolve(held.toString('latin1', 0, Math.min(end < 0 ? held.length : end, ANSWER_BYTES_MAX)));
    };
    socket.on('readable', read);
    socket.on('error', fail);
    socket.on('end', ended);
    socket.on('close', ended);
    signal.addEventListener('abort', aborted, { once: true });
  });
}
