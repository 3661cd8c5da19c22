import { UsageError } from '@tidemark/core';
import type { ApiApp, ApiPorts } from '../../services/control/src/api/types.ts';

/** What the routes of a trial did, and a gate that holds requests named `slow`. */
export class Trial {
  begun = 0;
  #open: () => void = () => undefined;
  #gate = Promise.resolve();

  /** Holds requests that are named `slow` until `open`. */
  close(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }

  /** Routes that do nothing but show what the server does around them. */
  readonly routes = (app: ApiApp, { streams }: ApiPorts): void => {
    app.post(
      '/t/things',
      {
        config: { scope: 'backup', idempotent: true },
        schema: {
          body: {
            type: 'object',
            additionalProperties: false,
            required: ['name'],
            properties: {
              name: { type: 'string', minLength: 1, maxLength: 16 },
              size: { type: 'integer', minimum: 0 },
              tags: { type: 'array', items: { type: 'string' } },
            },
          } as const,
        },
      },
      async ({ body }, reply) => {
        this.begun += 1;
        const thing = this.begun;
        if (body.name === 'refused') throw new UsageError('TM_NOT_FOUND', 'no such thing');
        if (body.name === 'slow') await this.#gate;
        return reply.code(202).header('location', `/t/things/${thing}`).send({ thing });
      },
    );
    app.get(
      '/t/list',
      {
        config: { scope: 'read' },
        schema: {
          querystring: {
            type: 'object',
            additionalProperties: false,
            properties: { size: { type: 'integer', minimum: 1 }, all: { type: 'boolean' } },
          } as const,
        },
      },
      ({ query }) => query,
    );
    app.get('/t/fault', { config: { scope: 'read' }, schema: {} }, () => {
      throw new Error('the value of cart:42 is secret');
    });
    app.get(
      '/t/never',
      { config: { scope: 'read' }, schema: {} },
      () => new Promise(() => undefined),
    );
    app.get('/t/events', { config: { scope: 'read' }, schema: {} }, (request, reply) =>
      streams.send(request, reply, countUp),
    );
    app.get('/healthz', { config: { scope: 'open' }, schema: {} }, () => ({ status: 'ok' }));
    app.get('/t/open', { config: { scope: 'open' }, schema: {} }, () => ({ ok: true }));
  };
}

/** Five events, and then nothing until the caller leaves. */
async function* countUp(
  after: number,
  signal: AbortSignal,
): AsyncGenerator<{ id: number; event: string; data: unknown }> {
  for (let id = after + 1; id <= 5; id += 1) yield { id, event: 'step', data: { id } };
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
}
