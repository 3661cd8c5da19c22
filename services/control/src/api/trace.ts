import type { IncomingHttpHeaders } from 'node:http';
import type { Random } from '@tidemark/core';

const PARENT = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The trace that a request belongs to (W3C `traceparent`), or a new one: 32 hexadecimal digits. */
export function traceOf(headers: IncomingHttpHeaders, random: Random): string {
  const given = headers['traceparent'];
  const [, trace] = (typeof given === 'string' ? PARENT.exec(given) : null) ?? [];
  return trace === undefined || /^0+$/.test(trace) ? random.bytes(16).toString('hex') : trace;
}

/** X-Request-Id of the caller where it may stand in a log as it is; else the trace. */
export function requestIdOf(headers: IncomingHttpHeaders, traceId: string): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : traceId;
}
