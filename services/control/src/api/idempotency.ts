import { createHmac } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '@tidemark/archiver';
import { canonicalJson } from './canonical-json.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import { ApiProblem } from './problem-types.ts';
import type { ApiApp } from './types.ts';

const KEY = /^[\x21-\x7e]{1,128}$/;
/** What of an answer is given again beside its body. */
const HEADERS = ['content-type', 'location', 'retry-after', 'etag'] as const;

/** Makes routes that start work answer the same request the same way for 24 h. */
export function addIdempotency(
  app: ApiApp,
  store: IdempotencyStore,
  { digestKey, logger }: { readonly digestKey: Buffer; readonly logger: Logger },
): void {
  const begun = new WeakSet<FastifyRequest>();
  // After validation: what is not well formed uses up no key.
  app.addHook('preHandler', async (request, reply) => {
    if (request.routeOptions.config.idempotent !== true) return undefined;
    const id = { actor: request.caller, key: keyOf(request) };
    const given = store.begin(id, digestOf(request, digestKey));
    request.idempotency = id;
    if (given === null) {
      begun.add(request);
      return undefined;
    }
    return reply
      .code(given.status)
      .headers({ ...given.headers, 'idempotency-replayed': 'true' })
      .serializer(String)
      .send(given.body);
  });
  app.addHook('onSend', async (request, reply, payload) => {
    const id = request.idempotency;
    if (id === null || !begun.has(request)) return payload;
    begun.delete(request);
    const { statusCode: status } = reply;
    try {
      if (status < 200 || status > 299 || typeof payload !== 'string') store.forget(id);
      else store.end(id, { status, headers: keptHeaders(reply), body: payload });
    } catch (error) {
      // The work was begun: the caller must learn of it. JobDesk knows the key too.
      const reason = error instanceof Error ? error.message : 'unknown';
      logger.warn('an answer could not be kept', { traceId: request.traceId, reason });
    }
    return Promise.resolve(payload);
  });
  // A caller that left before it was answered.
  app.addHook('onResponse', async (request) => {
    const id = request.idempotency;
    if (id !== null && begun.delete(request)) store.forget(id);
    return Promise.resolve();
  });
}

function keyOf({ headers }: FastifyRequest): string {
  const key = headers['idempotency-key'];
  if (key === undefined) {
    throw new ApiProblem(
      'idempotency-key-missing',
      'send Idempotency-Key with a value of your own, the same when you send the request again',
    );
  }
  if (typeof key === 'string' && KEY.test(key)) return key;
  throw new ApiProblem('bad-request', 'Idempotency-Key has 1 to 128 printable characters', {
    faults: [{ pointer: 'header/Idempotency-Key', detail: '1 to 128 printable characters' }],
  });
}

/** Keyed: a body may hold a password. */
function digestOf({ method, url, body }: FastifyRequest, key: Buffer): string {
  try {
    return createHmac('sha256', key)
      .update(canonicalJson([method, url, body ?? null]))
      .digest('hex');
  } catch (cause) {
    throw new ApiProblem('validation', 'the body is nested too deep', { cause });
  }
}

function keptHeaders(reply: FastifyReply): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of HEADERS) {
    const value = reply.getHeader(name);
    if (typeof value === 'string' || typeof value === 'number') kept[name] = String(value);
  }
  return kept;
}
