import type { FastifyRequest } from 'fastify';
import { TidemarkError } from '@tidemark/core';
import { parseTime } from '@tidemark/workspace';
import { wrongField } from '../problem-types.ts';

/**
 * The second that a field holds; its shape was checked by the schema.
 * @throws ApiProblem `validation` for what is no time of the calendar.
 */
export function secondOf(text: string, pointer: string): number {
  const wanted = asField(pointer, () => parseTime(text, 0));
  if (wanted === 'latest') throw wrongField(pointer, 'a second, not latest');
  return wanted.second;
}

/** Runs what reads a field: what it throws is the fault of that field. */
export function asField<T>(pointer: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    throw wrongField(pointer, cause.message);
  }
}

/** Ends when the caller has left, or after so long; for what is read while it waits. */
export function callerSignal(request: FastifyRequest, timeoutMs: number): AbortSignal {
  return AbortSignal.any([request.gone, AbortSignal.timeout(timeoutMs)]);
}

/**
 * Ends after so long, whether or not the caller waits: what changes something is not left half done, nor out of
 * the audit, by who leaves in between.
 */
export function workSignal(timeoutMs: number): AbortSignal {
  return AbortSignal.timeout(timeoutMs);
}
