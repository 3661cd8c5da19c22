import {
  createServer as createHttp,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { ApiLimits } from './limits.ts';
import { problemBody } from './problem.ts';
import { PROBLEMS, type ProblemName } from './problem-types.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What a TLS listener is made of. */
export interface ServerTls {
  readonly context: SecureContextOptions;
  /** Whether callers must show a certificate of the authority in the context. */
  readonly asksForCertificate: boolean;
}

/** Makes the listener: every wait for a caller has an end (slow-loris). */
export function makeServer(handler: Handler, limits: ApiLimits, tls: ServerTls | null): Server {
  const options = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: Math.min(limits.idleMs, 65_000),
    connectionsCheckingInterval: limits.checkMs,
    maxHeaderSize: 16_384,
    requireHostHeader: true,
    insecureHTTPParser: false,
  };
  const server =
    tls === null
      ? createHttp(options, handler)
      : createHttps(
          {
            ...options,
            ...tls.context,
            minVersion: 'TLSv1.2',
            requestCert: tls.asksForCertificate,
            rejectUnauthorized: true,
            handshakeTimeout: limits.headersMs,
          },
          handler,
        );
  server.maxConnections = limits.connections;
  server.maxHeadersCount = 100;
  server.setTimeout(limits.idleMs);
  return server;
}

const REFUSALS: Readonly<Record<string, ProblemName>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
};

/** Answers what never became a request, and closes its connection. */
export function refuseConnection(error: Error, socket: Socket, traceId: string): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const name = REFUSALS[code ?? ''] ?? 'bad-request';
  const { status } = PROBLEMS[name];
  const detail = name === 'bad-request' ? 'this is no HTTP/1.1 request' : PROBLEMS[name].title;
  const body = JSON.stringify(problemBody(name, detail, { url: '/', traceId }));
  const head = [
    `HTTP/1.1 ${status.toString()} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/problem+json; charset=utf-8',
    'Connection: close',
    `Content-Length: ${Buffer.byteLength(body).toString()}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}
