import { fastify } from 'fastify';
import { UsageError } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import { addAccess, addIdentity, identify } from './access.ts';
import { addIdempotency } from './idempotency.ts';
import { IdempotencyStore } from './idempotency-store.ts';
import { KnownPaths } from './known-paths.ts';
import { API_LIMITS, type ApiLimits } from './limits.ts';
import { addOpenApi, isProblem } from './openapi.ts';
import { answerProblem } from './problem.ts';
import { ApiProblem } from './problem-types.ts';
import { addJsonBodies, fillBody, typeQuery } from './given-values.ts';
import { makeServer, refuseConnection } from './server.ts';
import { EventStreams } from './sse.ts';
import { followTlsFiles, readServerTls } from './tls-files.ts';
import { traceOf } from './trace.ts';
import type { ApiApp, ApiPorts, RegisterRoutes, RequestTypes } from './types.ts';

const TLS_LOOK_MS = 10_000;
const IDLE_LOOK_MS = 50;

/** What a server is made of. */
export interface ApiOptions {
  readonly ports: Omit<ApiPorts, 'streams'>;
  readonly settings: Config['api'];
  /** Every route of the API; `/openapi.json` is added. */
  readonly routes: RegisterRoutes;
  readonly limits?: Partial<ApiLimits>;
  /** How often renewed certificates are looked for, in milliseconds. */
  readonly tlsLookMs?: number;
}

/** A server that is made, and may listen. */
export interface Api {
  readonly app: ApiApp;
  /** Every route: `GET /v1/jobs/:job`. */
  readonly routes: readonly string[];
  /**
   * @returns Its address, e.g. `http://127.0.0.1:8080`.
   * @throws UsageError `TM_LISTEN`.
   */
  listen(): Promise<string>;
  /** Takes no more requests, ends streams and answers requests that run, for `drainMs` at most. */
  drain(): Promise<void>;
}

/**
 * Makes the HTTP server of the control plane with its routes.
 * @throws UsageError `TM_TLS_SETTINGS`.
 */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { ports, settings } = options;
  const limits = { ...API_LIMITS, ...options.limits };
  const draining = new AbortController();
  const tls = settings.tls === null ? null : await readServerTls(settings.tls);
  const app = newApp(options, limits, tls);
  addIdentity(app, options, draining.signal);
  const paths = addAnswers(app, options);
  await addOpenApi(app);
  const isAllowed = await addAccess(app, options, limits);
  addIdempotency(app, new IdempotencyStore(ports.control.state, ports.clock), {
    digestKey: await ports.control.secrets.digestKey(ports.random),
    logger: ports.logger,
  });
  const streams = new EventStreams(draining.signal, isAllowed, limits.heartbeatMs);
  addDocument(app);
  await options.routes(app, { ...ports, streams });
  await app.ready();
  return {
    app,
    routes: paths.all,
    listen: async () => {
      const { host, port } = settings.listen;
      if (settings.tls !== null && tls !== null) {
        const { signal } = draining;
        const everyMs = options.tlsLookMs ?? TLS_LOOK_MS;
        const look = { everyMs, signal, logger: ports.logger };
        void followTlsFiles(app.server, settings.tls, tls, look);
      }
      try {
        return await app.listen({ host, port });
      } catch (cause) {
        throw cannotListen(cause, host, port);
      }
    },
    drain: async () => drain(app, draining, limits.drainMs),
  };
}

function newApp(
  options: ApiOptions,
  limits: ApiLimits,
  tls: Awaited<ReturnType<typeof readServerTls>> | null,
): ApiApp {
  const { ports, settings } = options;
  const { trustedProxies } = settings;
  return fastify({
    serverFactory: (handler) => makeServer(handler, limits, tls),
    clientErrorHandler: (error, socket) =>
      refuseConnection(error, socket, traceOf({}, ports.random)),
    frameworkErrors: (error, request, reply) => {
      identify(request, reply, options);
      void answerProblem(error, request, reply, ports.logger);
    },
    logger: false,
    bodyLimit: limits.bodyBytes,
    handlerTimeout: limits.handlerMs,
    exposeHeadRoutes: false,
    return503OnClosing: false, // it is told as every other problem is
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 4096 },
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: true,
        allErrors: true,
        allowUnionTypes: true,
        // A default within one of several shapes is for the reader of the document.
        strictSchema: false,
      },
    },
  }).withTypeProvider<RequestTypes>();
}

/** What is answered beside the handlers: refusals, unknown paths, and JSON just as it is. */
function addAnswers(app: ApiApp, { ports }: ApiOptions): KnownPaths {
  const paths = new KnownPaths();
  app.removeContentTypeParser('text/plain');
  addJsonBodies(app);
  app.addHook('onRoute', (route) => {
    checkRoute(route.url, route.config ?? {});
    paths.add(route);
  });
  app.addHook('preValidation', (request, _, done) => {
    typeQuery(request);
    fillBody(request);
    done();
  });
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler((error, request, reply) =>
    answerProblem(error, request, reply, ports.logger),
  );
  app.setNotFoundHandler((request) => {
    const [path = ''] = request.url.split('?', 1);
    const methods = paths.methodsOf(path);
    if (methods.length === 0) throw new ApiProblem('not-found', 'there is no such address');
    throw new ApiProblem('method-not-allowed', `this is done with ${methods.join(', ')}`, {
      headers: { allow: methods.join(', ') },
    });
  });
  return paths;
}

/** A route that forgot to say who may call it is a fault of ours: it is found at start. */
function checkRoute(
  url: string,
  { scope, problems = [] }: { readonly scope?: string; readonly problems?: readonly string[] },
): void {
  if (scope === undefined) throw new Error(`the route ${url} has no scope`);
  const unknown = problems.find((name) => !isProblem(name));
  if (unknown !== undefined) throw new Error(`the route ${url} has an unknown problem ${unknown}`);
}

function addDocument(app: ApiApp): void {
  let made: unknown = null;
  app.get(
    '/openapi.json',
    {
      config: { scope: 'open' },
      schema: {
        operationId: 'getOpenApi',
        summary: 'This document.',
        tags: ['service'],
        response: {
          200: {
            description: 'OpenAPI 3.1.',
            type: 'object',
            required: ['openapi'],
            properties: { openapi: { type: 'string' } },
            additionalProperties: true,
          },
        },
      },
    },
    () => (made ??= app.swagger()),
  );
}

function cannotListen(cause: unknown, host: string, port: number): UsageError {
  const reason = cause instanceof Error ? cause.message : 'unknown';
  return new UsageError('TM_LISTEN', `the API cannot listen: ${reason}`, {
    context: { host, port },
    hint: 'another process may use this port; choose one with [server] listen or --listen',
    cause,
  });
}

async function drain(app: ApiApp, draining: AbortController, drainMs: number): Promise<void> {
  draining.abort(new Error('the service is going down'));
  const late = setTimeout(() => app.server.closeAllConnections(), drainMs);
  // A connection whose last answer is given would be kept for more requests.
  const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_LOOK_MS);
  try {
    await app.close();
  } finally {
    clearTimeout(late);
    clearInterval(idle);
  }
}
