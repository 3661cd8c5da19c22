import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiProblem } from './problem-types.ts';

const HEARTBEAT_MS = 15_000;
const STREAMS_MAX = 256;

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

/** Streams of events of one server: counted, and ended together when it drains. */
export class EventStreams {
  readonly #draining: AbortSignal;
  readonly #heartbeatMs: number;
  #open = 0;

  constructor(draining: AbortSignal, heartbeatMs = HEARTBEAT_MS) {
    this.#draining = draining;
    this.#heartbeatMs = heartbeatMs;
  }

  /**
   * Answers with events until they end, the caller leaves or the server drains; a comment every 15 s keeps
   * the connection.
   * @param source - Events after the one that the caller saw last.
   * @throws ApiProblem `overloaded` when 256 streams are open.
   */
  send(
    request: FastifyRequest,
    reply: FastifyReply,
    source: (afterId: number, signal: AbortSignal) => AsyncIterable<ServerEvent>,
  ): FastifyReply {
    if (this.#open >= STREAMS_MAX) {
      throw new ApiProblem('overloaded', 'too many streams of events are open', {
        headers: { 'retry-after': '10' },
      });
    }
    const { raw } = reply;
    const after = Number(request.headers['last-event-id'] ?? '0');
    const signal = AbortSignal.any([request.gone, this.#draining]);
    // Before anything is sent: a job that is not there is still a plain answer.
    const frames = framesOf(source(after, signal), this.#heartbeatMs, signal);
    this.#open += 1;
    raw.once('close', () => {
      this.#open -= 1;
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
