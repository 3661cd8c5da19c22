import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '@tidemark/archiver';
import { TidemarkError } from '@tidemark/core';
import { problemOf } from './problem-codes.ts';
import { ApiProblem, PROBLEMS, type Fault, type ProblemName } from './problem-types.ts';
import { faultsOf, type Validation } from './request-faults.ts';

const PROBLEM_JSON = 'application/problem+json; charset=utf-8';

/** The body of every answer that is no success (RFC 9457). */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** Path of the request. */
  readonly instance: string;
  readonly traceId: string;
  /** Permanent code of docs/errors.md. */
  readonly code?: string;
  readonly hint?: string;
  readonly errors?: readonly Fault[];
  /** Positions, sizes and ids that help. */
  readonly context?: Readonly<Record<string, string | number | boolean | null>>;
  readonly nearestBefore?: string | null;
  readonly nearestAfter?: string | null;
}

/** Schema of `ProblemBody`, for the OpenAPI document. */
export const ProblemSchema = {
  $id: 'Problem',
  type: 'object',
  description: 'Why a request was not done (RFC 9457).',
  additionalProperties: false,
  required: ['type', 'title', 'status', 'detail', 'instance', 'traceId'],
  properties: {
    type: { type: 'string', pattern: '^urn:tidemark:problem:[a-z-]+$' },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string' },
    instance: { type: 'string', description: 'Path of the request.' },
    traceId: { type: 'string', pattern: '^[0-9a-f]{32}$' },
    code: { type: 'string', pattern: '^TM_[A-Z0-9_]+$' },
    hint: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['pointer', 'detail'],
        properties: { pointer: { type: 'string' }, detail: { type: 'string' } },
      },
    },
    context: { type: 'object', additionalProperties: true },
    nearestBefore: { type: ['string', 'null'] },
    nearestAfter: { type: ['string', 'null'] },
  },
} as const;

/** The problem that an error is, and headers that belong to it. */
interface Told {
  readonly name: ProblemName;
  readonly detail: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly more: Partial<ProblemBody>;
}

/** Answers with the problem that an error is; what is our fault is logged with its trace id. */
export function answerProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: Logger,
): FastifyReply {
  const told = tell(error);
  const { status } = PROBLEMS[told.name];
  if (status >= 500) {
    const { traceId } = request;
    const route = request.routeOptions.url ?? 'unknown';
    const code = error instanceof TidemarkError ? error.code : 'TM_INTERNAL';
    const reason = reasonOf(error);
    // What the API says of itself, such as that it is overloaded, is no fault of it.
    if (error instanceof ApiProblem) {
      logger.warn('a request was not taken', { traceId, route, status, problem: told.name });
    } else logger.error('a request failed', { traceId, route, status, code, reason });
  }
  return reply
    .code(status)
    .headers({ 'cache-control': 'no-store', ...told.headers })
    .type(PROBLEM_JSON)
    .serializer(JSON.stringify)
    .send(problemBody(told.name, told.detail, request, told.more));
}

/** A problem as it is sent. */
export function problemBody(
  name: ProblemName,
  detail: string,
  { url, traceId }: { readonly url: string; readonly traceId: string },
  more: Partial<ProblemBody> = {},
): ProblemBody {
  const { status, title } = PROBLEMS[name];
  const type = `urn:tidemark:problem:${name}`;
  // The query may hold what is nobody's business.
  return { type, title, status, detail, instance: pathOf(url), traceId, ...more };
}

function pathOf(url: string): string {
  const end = url.indexOf('?');
  return (end === -1 ? url : url.slice(0, end)).slice(0, 512);
}

function tell(error: unknown): Told {
  if (error instanceof ApiProblem) {
    const { problem: name, message: detail, headers, faults } = error;
    return { name, detail, headers, more: faults.length === 0 ? {} : { errors: faults } };
  }
  if (error instanceof TidemarkError) return tellCoded(error);
  if (error instanceof Error && 'code' in error) return tellFastify(error as FastifyError);
  return internal();
}

function tellCoded(error: TidemarkError): Told {
  const name = nameOf(error);
  if (name === 'internal') return { ...internal(), more: { code: error.code } };
  const context = Object.fromEntries(
    Object.entries(error.context).map(([key, value]) => [
      key,
      typeof value === 'bigint' ? value.toString() : value,
    ]),
  );
  const { status } = PROBLEMS[name];
  return {
    name,
    detail: error.message,
    headers: status === 503 || status === 429 ? { 'retry-after': '5' } : {},
    more: {
      code: error.code,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(Object.keys(context).length === 0 ? {} : { context }),
      ...(error.code === 'TM_TIME_NOT_RESTORABLE'
        ? {
            nearestBefore: instant(error.context['nearestBefore']),
            nearestAfter: instant(error.context['nearestAfter']),
          }
        : {}),
    },
  };
}

/** A backup and a restore that are under way have names of their own. */
function nameOf({ code, context }: TidemarkError): ProblemName {
  const { kind } = context;
  if ((code as string) !== 'TM_JOB_BUSY' || typeof kind !== 'string') return problemOf(code);
  if (kind === 'backup') return 'backup-in-progress';
  return kind === 'restore' || kind === 'write-back' ? 'restore-in-progress' : 'busy';
}

function instant(second: unknown): string | null {
  if (typeof second !== 'number' && typeof second !== 'bigint') return null;
  return new Date(Number(second) * 1000).toISOString().replace('.000Z', 'Z');
}

const FASTIFY: Readonly<Record<string, ProblemName>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'bad-request',
  FST_ERR_CTP_INVALID_JSON_BODY: 'bad-request',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad-request',
  FST_ERR_BAD_URL: 'bad-request',
  FST_ERR_MAX_PARAM_LENGTH: 'not-found',
  FST_ERR_HANDLER_TIMEOUT: 'unavailable',
};

function tellFastify(error: FastifyError): Told {
  const { validation, validationContext: part } = error;
  if (validation !== undefined) return tellFaults(validation, part);
  const name =
    FASTIFY[error.code] ??
    ((error.statusCode ?? 500) >= 400 && (error.statusCode ?? 500) < 500
      ? 'bad-request'
      : 'internal');
  if (name === 'internal') return internal();
  const headers: Record<string, string> = name === 'unavailable' ? { 'retry-after': '5' } : {};
  return { name, detail: DETAILS[name] ?? PROBLEMS[name].title, headers, more: {} };
}

/** Messages of the parser repeat what was sent. */
const DETAILS: Partial<Record<ProblemName, string>> = {
  'bad-request': 'the body is no JSON, or the address is not well encoded',
  'unsupported-media-type': 'send application/json in UTF-8',
  unavailable: 'the answer took too long',
};

function tellFaults(validation: Validation, part: string | undefined): Told {
  const errors = faultsOf(validation, part);
  const [first] = errors;
  const detail = first === undefined ? 'it is wrong' : told(first);
  const name = part === undefined || part === 'body' ? 'validation' : 'bad-request';
  return { name, detail, headers: {}, more: { errors } };
}

function told({ pointer, detail }: Fault): string {
  return pointer === '' ? detail : `${pointer}: ${detail}`;
}

function internal(): Told {
  const detail = 'the log of the service tells more under this traceId';
  return { name: 'internal', detail, headers: {}, more: {} };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 300) : 'not an error';
}
