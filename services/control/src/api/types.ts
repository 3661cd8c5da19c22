import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Static, TSchema } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, FastifyTypeProvider } from 'fastify';
import type { Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import type { Actor } from '../jobs/job.ts';
import type { Control } from '../control.ts';
import type { EventStreams } from './sse.ts';

/** What a caller may do: docs/api.md, "Scopes". */
export const SCOPES = ['read', 'backup', 'restore', 'admin', 'key:read'] as const;

/** One right of a caller. */
export type Scope = (typeof SCOPES)[number];

/** What every route is given. */
export interface ApiPorts {
  readonly control: Control;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Answers with server-sent events. */
  readonly streams: EventStreams;
}

/** Requests have the types of their schemas; answers are held against theirs by the tests. */
export interface RequestTypes extends FastifyTypeProvider {
  readonly validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
  readonly serializer: unknown;
}

/** The server as routes see it: schemas are plain JSON Schema, requests are typed by them. */
export type ApiApp = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  RequestTypes
>;

/** Adds routes to a server. */
export type RegisterRoutes = (app: ApiApp, ports: ApiPorts) => void | Promise<void>;

/** Who asked with which key; also the second argument of `JobDesk.submit`. */
export interface IdempotencyKey {
  readonly actor: string;
  readonly key: string;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The right that a caller needs; `open` asks for none. A route without one is refused at start. */
    scope?: Scope | 'open';
    /** The request starts work: it needs an Idempotency-Key, and is answered alike for 24 h. */
    idempotent?: true;
    /** The request changes something that has an ETag: it needs If-Match. */
    conditional?: true;
    /** Problems beyond those that every route has, for the OpenAPI document: `['time-not-recoverable']`. */
    problems?: readonly string[];
  }
  interface FastifyRequest {
    /** Who asks; `open` routes have the name `anonymous`. */
    actor: Actor;
    /** The credential of the caller, for what is counted or kept for each; empty on `open` routes. */
    caller: string;
    /** What the caller may do, for routes that serve several rights; empty on `open` routes. */
    scopes: readonly Scope[];
    /** Of an `idempotent` route; null elsewhere. */
    idempotency: IdempotencyKey | null;
    /** 32 hexadecimal digits that the log and the answer to an error share. */
    traceId: string;
    /** Aborted when the caller has left, or the answer is given. */
    gone: AbortSignal;
  }
}
