import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiProblem } from './problem-types.ts';
import type { ApiLimits } from './limits.ts';
import type { ApiApp } from './types.ts';

const WINDOW_MS = 60_000;
const CALLERS_MAX = 10_000;

/** Counts requests, and refuses those that are too many. */
export interface Rates {
  /** A request of a known caller, or of an address where none is needed. @throws ApiProblem `rate-limited`. */
  count(request: FastifyRequest, reply: FastifyReply, caller: string): Promise<void>;
  /** A token or certificate that was refused. @throws ApiProblem `rate-limited`. */
  countRefusal(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

/** Loads the limiter of a server. Its RateLimit headers follow the IETF draft. */
export async function openRates(app: ApiApp, limits: ApiLimits): Promise<Rates> {
  const { default: rateLimit } = await import('@fastify/rate-limit');
  await app.register(rateLimit, { global: false, cache: CALLERS_MAX, timeWindow: WINDOW_MS });
  const callers = new WeakMap<FastifyRequest, string>();
  const limiter = (max: number): ReturnType<ApiApp['createRateLimit']> =>
    app.createRateLimit({ max, keyGenerator: (request) => callers.get(request) ?? request.ip });
  const [ofCaller, ofRefusals] = [
    limiter(limits.requestsPerMinute),
    limiter(limits.refusalsPerMinute),
  ];
  const take = async (
    limit: typeof ofCaller,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> => {
    const state = await limit(request);
    if (state.isAllowed) return;
    const { max, remaining, ttlInSeconds, isExceeded } = state;
    const headers = {
      'ratelimit-limit': max.toString(),
      'ratelimit-remaining': remaining.toString(),
      'ratelimit-reset': ttlInSeconds.toString(),
    };
    reply.headers(headers);
    if (!isExceeded) return;
    throw new ApiProblem('rate-limited', `more than ${max.toString()} requests in a minute`, {
      headers: { 'retry-after': Math.max(1, ttlInSeconds).toString() },
    });
  };
  return {
    count: async (request, reply, caller) => {
      callers.set(request, `caller ${caller}`);
      await take(ofCaller, request, reply);
    },
    countRefusal: async (request, reply) => {
      callers.set(request, `refused ${request.ip}`);
      await take(ofRefusals, request, reply);
    },
  };
}
