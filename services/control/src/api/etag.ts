import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { canonicalJson } from './canonical-json.ts';
import { ApiProblem } from './problem-types.ts';

/** A strong ETag of a document: equal documents have equal ones, whatever the order of their names. */
export function etagOf(document: unknown): string {
  const digest = createHash('sha256').update(canonicalJson(document)).digest('base64url');
  return `"${digest.slice(0, 22)}"`;
}

/**
 * Refuses a change of something that the caller has not seen as it is.
 * @throws ApiProblem `precondition-required` without If-Match, `precondition-failed` when it does not fit.
 */
export function requireMatch(request: FastifyRequest, etag: string): void {
  const given = request.headers['if-match'];
  if (given === undefined) {
    throw new ApiProblem('precondition-required', 'send If-Match with the ETag of your last GET');
  }
  if (given.trim() === '*' || tagsOf(given).includes(etag)) return;
  throw new ApiProblem('precondition-failed', 'If-Match is not the present ETag', {
    headers: { etag },
  });
}

/** Sets the ETag; true when the caller has this version: answer 304 without a body. */
export function isKnown(request: FastifyRequest, reply: FastifyReply, etag: string): boolean {
  reply.header('etag', etag);
  const given = request.headers['if-none-match'];
  if (given === undefined) return false;
  return given.trim() === '*' || tagsOf(given).some((tag) => tag.replace(/^W\//, '') === etag);
}

function tagsOf(header: string): readonly string[] {
  return header.split(',').map((tag) => tag.trim());
}
