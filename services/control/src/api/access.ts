import type { FastifyReply, FastifyRequest } from 'fastify';
import { ANONYMOUS, openAuthenticator, requireScope, type KnownCaller } from './auth.ts';
import type { ApiLimits } from './limits.ts';
import { ApiProblem } from './problem-types.ts';
import { openRates } from './rates.ts';
import type { StillAllowed } from './sse.ts';
import { requestIdOf, traceOf } from './trace.ts';
import type { ApiOptions } from './app.ts';
import type { ApiApp } from './types.ts';

const SECURITY = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;
/** Asked for by who restarts the service: nobody at the same address can take that from him. */
const HEALTH: ReadonlySet<string> = new Set(['/healthz', '/readyz']);
const STRICT = { 'strict-transport-security': 'max-age=31536000' } as const;

/** Gives every request its ids and every answer its headers, before anything may refuse it. */
export function addIdentity(app: ApiApp, options: ApiOptions, draining: AbortSignal): void {
  const { ports } = options;
  app.decorateRequest('traceId', '');
  app.decorateRequest('idempotency', null);
  app.decorateRequest('actor');
  app.decorateRequest('caller', '');
  app.decorateRequest('gone');
  app.decorateRequest('scopes');
  app.addHook('onRequest', async (request, reply) => {
    identify(request, reply, options);
    const gone = new AbortController();
    request.gone = gone.signal;
    reply.raw.once('close', () => gone.abort(new Error('the caller has left')));
    if (draining.aborted) {
      reply.header('connection', 'close');
      throw new ApiProblem('unavailable', 'the service is going down', {
        headers: { 'retry-after': '5' },
      });
    }
    return Promise.resolve();
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions, id, traceId, actor, ip } = request;
    // The route, not the path: that may hold the name of a key.
    const route = routeOptions.url ?? 'unknown';
    const durationMs = Math.round(reply.elapsedTime * 10) / 10;
    const { statusCode: status } = reply;
    const fields = { method, route, status, durationMs, requestId: id, traceId };
    ports.logger.info('request', { ...fields, actor: actor.name, via: actor.via, address: ip });
    return Promise.resolve();
  });
}

/** Ids of a request and headers of its answer, also where the framework refuses it before any hook. */
export function identify(
  request: FastifyRequest,
  reply: FastifyReply,
  { ports, settings }: ApiOptions,
): void {
  request.traceId = traceOf(request.headers, ports.random);
  request.id = requestIdOf(request.headers, request.traceId);
  request.actor = ANONYMOUS;
  request.scopes = [];
  const strict = settings.tls === null ? {} : STRICT;
  reply.headers({ ...SECURITY, ...strict, 'x-request-id': request.id });
}

/**
 * Turns away what is too much, and lets in only who may.
 * @returns Whether a caller that was let in would be let in now.
 */
export async function addAccess(
  app: ApiApp,
  options: ApiOptions,
  limits: ApiLimits,
): Promise<StillAllowed> {
  const { ports, settings } = options;
  const { default: underPressure } = await import('@fastify/under-pressure');
  const { eventLoopMs } = limits;
  await app.register(underPressure, { maxEventLoopDelay: eventLoopMs, pressureHandler: turnAway });
  const rates = await openRates(app, limits);
  const authenticator = openAuthenticator(settings, ports.clock, ports.logger);
  app.addHook('onRequest', async (request, reply) => {
    const { scope = 'open' } = request.routeOptions.config;
    if (HEALTH.has(request.routeOptions.url ?? '')) return;
    if (request.is404 || scope === 'open') {
      await rates.count(request, reply, `address ${request.ip}`);
      return;
    }
    let caller: KnownCaller;
    try {
      caller = await authenticator.authenticate(request);
    } catch (error) {
      await rates.countRefusal(request, reply);
      throw error;
    }
    request.actor = caller.actor;
    request.scopes = caller.scopes;
    request.caller = caller.id;
    await rates.count(request, reply, caller.id);
    requireScope(caller, scope);
  });
  return async (request) => {
    const { scope = 'open' } = request.routeOptions.config;
    if (scope === 'open') return true;
    try {
      requireScope(await authenticator.authenticate(request), scope);
      return true;
    } catch (error) {
      // Where tokens cannot be read just now nobody new is let in, and who is in stays.
      return error instanceof ApiProblem && error.problem === 'unavailable';
    }
  };
}

/** Health and metrics are told as long as anything is. */
function turnAway({ routeOptions }: FastifyRequest): void {
  if (routeOptions.config.scope === 'open' || routeOptions.url === '/metrics') return;
  throw new ApiProblem('overloaded', 'the service has too much to do', {
    headers: { 'retry-after': '5' },
  });
}
