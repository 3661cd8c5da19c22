import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiProblem } from './problem-types.ts';

const STREAMS_MAX = 256;
const STREAMS_OF_ACTOR_MAX = 16;

/** One server-sent event; `id` comes back as Last-Event-ID. */
export interface ServerEvent {
  readonly id: number;
  readonly event: string;
  readonly data: unknown;
}

/** Headers of a route that streams, for its schema. */
export const lastEventIdHeader = {
  type: 'object',
  properties: {
    'last-event-id': {
      type: 'string',
      pattern: '^[0-9]{1,15}$',
      description: 'The id of the last event that was seen: those after it are sent.',
    },
  },
} as const;

/** Whether who asked may still see what he asked for. */
export type StillAllowed = (request: FastifyRequest) => Promise<boolean>;

/** Streams of events of one server: counted, and ended together when it drains. */
export class EventStreams {
  readonly #draining: AbortSignal;
  readonly #isAllowed: StillAllowed;
  readonly #heartbeatMs: number;
  readonly #open = new Map<string, number>();

  constructor(draining: AbortSignal, isAllowed: StillAllowed, heartbeatMs: number) {
    this.#draining = draining;
    this.#isAllowed = isAllowed;
    this.#heartbeatMs = heartbeatMs;
  }

  /**
   * Answers with events until they end, the caller leaves or the server drains; a comment every 15 s keeps
   * the connection, and the caller is looked at again.
   * @param source - Events after the one that the caller saw last.
   * @throws ApiProblem `overloaded` when 256 streams are open, or 16 of the caller's.
   */
  send(
    request: FastifyRequest,
    reply: FastifyReply,
    source: (afterId: number, signal: AbortSignal) => AsyncIterable<ServerEvent>,
  ): FastifyReply {
    const { caller } = request;
    // Whoever left meanwhile closes nothing any more: his stream would count for ever.
    if (request.gone.aborted) return reply.hijack();
    this.#refuseMore(caller);
    const { raw } = reply;
    const after = Number(request.headers['last-event-id'] ?? '0');
    const over = new AbortController();
    const signal = AbortSignal.any([request.gone, this.#draining, over.signal]);
    // Before anything is sent: a job that is not there is still a plain answer.
    const frames = framesOf(source(after, signal), this.#heartbeatMs, signal);
    this.#open.set(caller, this.#countOf(caller) + 1);
    const look = setInterval(() => {
      void this.#isAllowed(request).then((isAllowed) => {
        if (!isAllowed) over.abort(new Error('the caller may see this no more'));
      });
    }, this.#heartbeatMs);
    raw.once('close', () => {
      clearInterval(look);
      const left = this.#countOf(caller) - 1;
      if (left > 0) this.#open.set(caller, left);
      else this.#open.delete(caller);
    });
    // A stream has no time within which it must be over, unlike other answers.
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value);
    }
    raw.setHeader('content-type', 'text/event-stream; charset=utf-8');
    raw.setHeader('x-accel-buffering', 'no');
    raw.writeHead(200);
    // What breaks it is either side: the caller comes again with the last id it saw.
    pipeline(Readable.from(frames, { objectMode: false }), raw).catch(() => undefined);
    return reply;
  }

  #countOf(caller: string): number {
    return this.#open.get(caller) ?? 0;
  }

  #refuseMore(caller: string): void {
    let all = 0;
    for (const count of this.#open.values()) all += count;
    if (all < STREAMS_MAX && this.#countOf(caller) < STREAMS_OF_ACTOR_MAX) return;
    throw new ApiProblem('overloaded', 'too many streams of events are open', {
      headers: { 'retry-after': '10' },
    });
  }
}

async function* framesOf(
  events: AsyncIterable<ServerEvent>,
  heartbeatMs: number,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  yield ': follow\nretry: 2000\n\n';
  const iterator = events[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const step = await settled(next, heartbeatMs, signal);
      if (step === 'over') return;
      if (step === 'quiet') {
        yield ': still here\n\n';
        continue;
      }
      if (step.done === true) return;
      const { id, event, data } = step.value;
      // Its lines cannot end early: JSON holds no line end.
      yield `event: ${event}\nid: ${id.toString()}\ndata: ${JSON.stringify(data)}\n\n`;
      next = iterator.next();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    next.catch(() => undefined);
    void iterator.return?.().then(undefined, () => undefined);
  }
}

/** What comes first: the next event, a quiet time, or the end of the stream. */
async function settled(
  next: Promise<IteratorResult<ServerEvent>>,
  heartbeatMs: number,
  signal: AbortSignal,
): Promise<IteratorResult<ServerEvent> | 'quiet' | 'over'> {
  const waited = new AbortController();
  // The connection has nothing to do with the injected clock.
  const quiet = sleep(heartbeatMs, 'quiet' as const, {
    signal: AbortSignal.any([waited.signal, signal]),
  }).catch((): 'over' => 'over');
  try {
    return await Promise.race([next, quiet]);
  } finally {
    waited.abort(new Error('an event came'));
  }
}
