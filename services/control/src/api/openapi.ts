import type { SwaggerTransform } from '@fastify/swagger';
import type { FastifySchema, RouteOptions } from 'fastify';
import { ProblemSchema } from './problem.ts';
import { PROBLEMS, type ProblemName } from './problem-types.ts';
import { SCOPES } from './types.ts';
import type { ApiApp } from './types.ts';

const DESCRIPTION =
  `Backup and flashback to any second for Redis and Valkey. Times are RFC 3339 in UTC,
offsets and 64-bit sizes are strings of digits. Work that takes long is answered 202 with the address of its job.
Every refusal is application/problem+json with a stable type (docs/api.md).`.replaceAll('\n', ' ');

/** Problems that any route may answer with. */
const ALWAYS: readonly ProblemName[] = [
  'bad-request',
  'unauthenticated',
  'forbidden',
  'not-found',
  'rate-limited',
  'internal',
  'unavailable',
];

/** Makes the OpenAPI 3.1 document of what is registered after it. */
export async function addOpenApi(app: ApiApp): Promise<void> {
  const { default: swagger } = await import('@fastify/swagger');
  app.addSchema(ProblemSchema);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tidemark',
        version: '1.0.0',
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      components: { securitySchemes: securitySchemes() },
    },
    refResolver: {
      buildLocalReference: (json, _baseUri, _fragment, i) =>
        typeof json['$id'] === 'string' ? json['$id'] : `def-${i.toString()}`,
    },
    transform: documented,
  });
}

function securitySchemes(): { token: { type: 'http'; scheme: string; description: string } } {
  const scopes = SCOPES.join(', ');
  const description = `A token of \`tidemark token create\`, with scopes among: ${scopes}.`;
  const known = { token: { type: 'http' as const, scheme: 'bearer', description } };
  // The types know the schemes of OpenAPI 3.0 only.
  const certificate = { type: 'mutualTLS', description: 'With `[auth] mode = "mtls"`.' };
  return Object.assign(known, { certificate });
}

/** Adds to a route what all of its kind have in common, so that no route has to say it. */
const documented: SwaggerTransform = ({ schema, url, route }) => {
  const config: NonNullable<RouteOptions['config']> = route.config ?? {};
  const { scope = 'open' } = config;
  const open = scope === 'open';
  const said: FastifySchema = schema;
  const { description, security } = said as { description?: string; security?: unknown };
  const text = description === undefined ? '' : `${description}\n\n`;
  return {
    url,
    schema: {
      ...said,
      ...{ description: `${text}${open ? 'Needs no token.' : `Scope: \`${scope}\`.`}` },
      security: security ?? (open ? [] : [{ token: [scope] }, { certificate: [scope] }]),
      headers: headersOf(said, config),
      // What a route says of itself holds.
      response: { ...refusalsOf(said, config), ...(said.response as object) },
    } as FastifySchema,
  };
};

type Schema = { readonly [name: string]: unknown };

function headersOf(schema: FastifySchema, config: NonNullable<RouteOptions['config']>): Schema {
  const own = (schema.headers ?? { type: 'object', properties: {} }) as {
    readonly properties: Schema;
    readonly required?: readonly string[];
  };
  const properties: Record<string, unknown> = { ...own.properties };
  const required = [...(own.required ?? [])];
  if (config.idempotent === true) {
    required.push('Idempotency-Key');
    properties['Idempotency-Key'] = {
      ...{ type: 'string', minLength: 1, maxLength: 128, pattern: '^[\\x21-\\x7e]+$' },
      description:
        'A value of your own: the same request with it is answered alike for 24 h, and starts nothing twice.',
    };
  }
  if (config.conditional === true) {
    required.push('If-Match');
    properties['If-Match'] = {
      ...{ type: 'string', minLength: 1, maxLength: 256 },
      description: 'The ETag of what is to be changed.',
    };
  }
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) };
}

function refusalsOf(schema: FastifySchema, config: NonNullable<RouteOptions['config']>): Schema {
  const names = new Set<ProblemName>(ALWAYS);
  const add = (...more: readonly ProblemName[]): void => {
    for (const name of more) names.add(name);
  };
  if (schema.body !== undefined) add('validation', 'body-too-large', 'unsupported-media-type');
  if (config.idempotent === true) {
    add('idempotency-key-missing', 'idempotency-conflict', 'idempotency-mismatch', 'state-full');
  }
  if (config.conditional === true) add('precondition-failed', 'precondition-required');
  for (const name of config.problems ?? []) if (isProblem(name)) add(name);
  if (config.scope === 'open') {
    names.delete('unauthenticated');
  }
  const byStatus = new Map<number, ProblemName[]>();
  for (const name of names) {
    const { status } = PROBLEMS[name];
    byStatus.set(status, [...(byStatus.get(status) ?? []), name]);
  }
  const content = { 'application/problem+json': { schema: { $ref: 'Problem#' } } };
  const refusals: Record<string, unknown> = {};
  for (const status of [...byStatus.keys()].sort()) {
    const types = (byStatus.get(status) ?? []).map((name) => `\`${name}\``).join(', ');
    refusals[status.toString()] = { description: types, content };
  }
  return { ...refusals, default: { description: 'Another refusal.', content } };
}

/** Whether it is the last part of a type. */
export function isProblem(name: string): name is ProblemName {
  return Object.hasOwn(PROBLEMS, name);
}
