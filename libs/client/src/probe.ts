import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { readHello, sayHello } from './hello.ts';

const PROBE_MS = 2_000;

/** A place on the network. */
interface Place {
  readonly host: string;
  readonly port: number;
}

/**
 * Whether a port answers without TLS. It is asked for the sake of the message only; nothing secret is
 * sent, and the connection is not used.
 */
export async function probePlain(place: Place, signal: AbortSignal): Promise<boolean> {
  const socket = connectTcp({ host: place.host, port: place.port });
  socket.on('error', () => undefined);
  const either = AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]);
  try {
    sayHello(socket);
    const answer = await readHello(socket, either);
    return answer.startsWith('+') || answer.startsWith('-');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Whether a port answers a greeting in TLS; whose certificate it is does not matter here. */
export function probeTls({ host, port }: Place, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTls({ host, port, rejectUnauthorized: true });
    const finish = (speaks: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      socket.destroy();
      resolve(speaks);
    };
    const giveUp = (): void => finish(false);
    const timer = setTimeout(giveUp, PROBE_MS);
    signal.addEventListener('abort', giveUp, { once: true });
    socket.on('secureConnect', () => finish(true));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // An alert is TLS too; so is a certificate that we do not trust.
      const unauthorized: unknown = socket.authorizationError;
      finish(typeof unauthorized === 'string' || /_ALERT_/.test(error.code ?? ''));
    });
    socket.on('close', giveUp);
  });
}
