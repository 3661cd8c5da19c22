import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { TidemarkError } from '@tidemark/core';
import {
  CONTROL_LINE_MAX,
  parseRequest,
  type ControlReply,
  type ControlRequest,
} from './protocol.ts';

const CONNECTIONS_MAX = 32;
/** `sun_path` of a unix socket without its last zero; a longer path would be cut, not refused. */
const PATH_BYTES_MAX = 107;

/** Answers one request; what it throws becomes the error of the reply. */
export type ControlHandler = (request: ControlRequest) => Promise<unknown>;

/**
 * Listens on a unix socket (0600) for lines of JSON.
 * @param path - Socket path; a left-over file of a dead process is replaced. The caller holds the
 *   spool lock, so no live archiver listens there.
 */
export async function openControlServer(
  path: string,
  handler: ControlHandler,
): Promise<AsyncDisposable> {
  await rm(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, handler);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, path);
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(path, { force: true });
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  const fault = (cause?: unknown): TidemarkError =>
    new TidemarkError('TM_CONFIG', `cannot listen on the control socket ${path}`, {
      cause,
      hint: `a unix socket path is at most ${PATH_BYTES_MAX.toString()} bytes long; choose a shorter state.dir`,
    });
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw fault();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(fault(cause)));
    server.listen(path, resolve);
  });
}

function serve(socket: Socket, handler: ControlHandler): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    rest += text;
    if (rest.length > CONTROL_LINE_MAX) {
      socket.destroy();
      return;
    }
    for (let at = rest.indexOf('\n'); at >= 0; at = rest.indexOf('\n')) {
      const line = rest.slice(0, at);
      rest = rest.slice(at + 1);
      void answer(line, handler).then((reply) => socket.write(`${JSON.stringify(reply)}\n`));
    }
  });
}

async function answer(line: string, handler: ControlHandler): Promise<ControlReply> {
  const request = parseRequest(line);
  if (request === null) {
    return { id: 0, ok: false, error: { code: 'TM_USAGE', message: 'not a control request' } };
  }
  try {
    return { id: request.id, ok: true, result: await handler(request) };
  } catch (error) {
    if (!(error instanceof TidemarkError)) {
      const message = error instanceof Error ? error.message : 'unknown fault';
      return { id: request.id, ok: false, error: { code: 'TM_INTERNAL', message } };
    }
    const { code, message, hint } = error;
    return {
      id: request.id,
      ok: false,
      error: hint === undefined ? { code, message } : { code, message, hint },
    };
  }
}
