import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { UsageError } from '@tidemark/core';
import type { Exposition } from './metric-registry.ts';
import type { Readiness } from './readiness.ts';

/** A request is one line and some headers; longer ones, and slow ones, are ended. */
const HEADER_BYTES_MAX = 8 * 1024;
const REQUEST_MS_MAX = 10_000;
const CONNECTIONS_MAX = 64;

/** What is shown of a process. */
export interface Operations {
  exposition(): Promise<Exposition>;
  readiness(): Promise<Readiness> | Readiness;
}

/** A listener that answers `/metrics`, `/healthz` and `/readyz`, and nothing else. */
export interface OperationsServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/** The answer to a question of the health of a process. */
export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly body: Readiness & { readonly status: 'ready' | 'not-ready' };
}

/** What `/readyz` answers. */
export function readinessAnswer({ reasons, notes }: Readiness): HealthAnswer {
  const ready = reasons.length === 0;
  const status = ready ? 'ready' : 'not-ready';
  return { status: ready ? 200 : 503, body: { status, reasons, notes } };
}

/**
 * Opens the listener. It asks for no password: it belongs on the loopback or on a network of its own.
 * @throws UsageError `TM_LISTEN` when it cannot listen there.
 */
export async function openOperationsServer(
  listen: { readonly host: string; readonly port: number },
  operations: Operations,
): Promise<OperationsServer> {
  const { createServer } = await import('node:http');
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: REQUEST_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      connectionsCheckingInterval: REQUEST_MS_MAX / 2,
    },
    (request, response) => void answer(request, response, operations),
  );
  server.maxConnections = CONNECTIONS_MAX;
  await begin(server, listen);
  const { address, port } = server.address() as AddressInfo;
  return {
    host: address,
    port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function begin(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new UsageError('TM_LISTEN', `cannot listen on ${host}:${port.toString()} for metrics`, {
      cause,
      hint: 'is another process there? metrics_listen of [archiver] and [restorer] names the address',
    });
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  operations: Operations,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0];
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'text/plain; charset=utf-8', 'only GET\n');
    } else if (path === '/metrics') {
      const { contentType, text } = await operations.exposition();
      send(response, 200, contentType, text);
    } else if (path === '/healthz') {
      send(response, 200, 'application/json', '{"status":"ok"}\n');
    } else if (path === '/readyz') {
      const { status, body } = readinessAnswer(await operations.readiness());
      send(response, status, 'application/json', `${JSON.stringify(body)}\n`);
    } else {
      send(response, 404, 'text/plain; charset=utf-8', '/metrics, /healthz or /readyz\n');
    }
  } catch {
    // Its cause was told where it came up; whoever asked has no use for it.
    if (!response.headersSent) send(response, 500, 'text/plain; charset=utf-8', 'failed\n');
  }
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}
