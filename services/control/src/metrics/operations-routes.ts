import { readinessAnswer } from '@tidemark/archiver';
import type { ApiApp } from '../api/types.ts';
import type { ControlMetrics } from './control-metrics.ts';

const ReasonsSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['code', 'instance', 'detail'],
    properties: {
      code: { type: 'string' },
      instance: { type: ['string', 'null'] },
      detail: { type: 'string' },
    },
  },
} as const;

const ReadySchema = {
  type: 'object',
  required: ['status', 'reasons', 'notes'],
  properties: {
    status: { type: 'string', enum: ['ready', 'not-ready'] },
    reasons: ReasonsSchema,
    notes: ReasonsSchema,
  },
} as const;

/** How long an answer is given again, in milliseconds: nobody counts who asks. */
const READY_MS = 1_000;

/** Work that is done once within a time, for all who ask. */
export function keptFor<T>(
  ms: number,
  work: () => Promise<T>,
  nowMs: () => number = () => performance.now(),
): () => Promise<T> {
  let known: { readonly atMs: number; readonly answer: Promise<T> } | null = null;
  return () => {
    if (known === null || nowMs() - known.atMs >= ms) known = { atMs: nowMs(), answer: work() };
    return known.answer;
  };
}

/**
 * Adds `/healthz`, `/readyz` and `/metrics` to the API, and counts what it answers. Health needs no
 * token and names no address; metrics name instances and are for those who may read them.
 */
export function registerOperations(app: ApiApp, metrics: ControlMetrics): void {
  app.addHook('onResponse', (request, reply, done) => {
    metrics.request({
      method: request.method,
      // A path that is no route is one label, whatever somebody asks for.
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
    });
    done();
  });
  app.get(
    '/healthz',
    {
      config: { scope: 'open' },
      schema: {
        ...{
          operationId: 'getHealth',
          tags: ['operations'],
          summary: 'Whether the process lives.',
        },
        response: {
          200: { type: 'object', required: ['status'], properties: { status: { type: 'string' } } },
        },
      },
    },
    () => ({ status: 'ok' }),
  );
  const readiness = keptFor(READY_MS, () => metrics.readiness());
  app.get(
    '/readyz',
    {
      config: { scope: 'open' },
      schema: {
        ...{ operationId: 'getReadiness', tags: ['operations'] },
        ...{ summary: 'Whether it can do what it is there for, and else why not.' },
        response: { 200: ReadySchema, 503: ReadySchema },
      },
    },
    async (_, reply) => {
      const { status, body } = readinessAnswer(await readiness());
      const [reasons, notes] = [[...body.reasons], [...body.notes]];
      void reply.code(status).header('cache-control', 'no-store');
      return reply.send({ status: body.status, reasons, notes });
    },
  );
  app.get(
    '/metrics',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'getMetrics', tags: ['operations'] },
        ...{ summary: 'Metrics in the text format of Prometheus (docs/metrics.md).' },
        response: {
          200: {
            description: 'Metrics in text.',
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
        },
      },
    },
    async (_, reply) => {
      const { contentType, text } = await metrics.exposition();
      return reply.header('content-type', contentType).send(text);
    },
  );
}
