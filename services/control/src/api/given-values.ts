import type { FastifyRequest } from 'fastify';
import type { ApiApp } from './types.ts';

/**
 * Gives the query parameters of a route the types of its schema: `pageSize=20` is a number. Only texts that
 * are written as a number or boolean are; what else there is the schema refuses.
 */
export function typeQuery(request: FastifyRequest): void {
  const properties = propertiesOf(request.routeOptions.schema?.querystring);
  const query = request.query as Record<string, unknown>;
  for (const [name, value] of Object.entries(query)) {
    if (typeof value !== 'string') continue;
    const type = typeOf(properties[name]);
    if (type === 'integer' && /^-?(0|[1-9][0-9]{0,14})$/.test(value)) query[name] = Number(value);
    if (type === 'boolean' && /^(true|false)$/.test(value)) query[name] = value === 'true';
  }
}

function propertiesOf(schema: unknown): Readonly<Record<string, unknown>> {
  if (typeof schema !== 'object' || schema === null || !('properties' in schema)) return {};
  return schema.properties as Record<string, unknown>;
}

function typeOf(schema: unknown): unknown {
  return typeof schema === 'object' && schema !== null && 'type' in schema ? schema.type : null;
}

/** Reads bodies of JSON; many callers say that they send JSON with every request, one without a body too. */
export function addJsonBodies(app: ApiApp): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<string>(
    'application/json',
    { parseAs: 'string' },
    (request, text, done) => {
      if (text === '') done(null);
      else void parse(request, text, done);
    },
  );
}

/** A request without a body says the same as one with `{}`, where nothing in it is required. */
export function fillBody(request: FastifyRequest): void {
  if (request.body !== undefined) return;
  const schema = request.routeOptions.schema?.body;
  if (typeof schema !== 'object' || schema === null || typeOf(schema) !== 'object') return;
  if (!('required' in schema)) request.body = {};
}
