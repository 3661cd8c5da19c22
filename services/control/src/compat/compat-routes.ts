import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { requireScope } from '../api/auth.ts';
import type { ApiApp, ApiPorts } from '../api/types.ts';
import { callerSignal, workSignal } from '../api/routes/request-tools.ts';
import {
  createBackup,
  createInstance,
  describeBackups,
  restoreInstance,
} from './backup-actions.ts';
import type { CompatAction } from './compat-action.ts';
import { CompatError, compatErrorOf } from './compat-error.ts';
import { CompatParams } from './compat-params.ts';
import { describeBackupPolicy, modifyBackupPolicy } from './policy-actions.ts';
import {
  checkCloudResourceAuthorized,
  describeEncryptionKey,
  describeEncryptionKeyList,
  describeInstanceTdeStatus,
  modifyInstanceTde,
} from './tde-actions.ts';

const ACTIONS: Readonly<Record<string, CompatAction>> = {
  CreateBackup: createBackup,
  DescribeBackups: describeBackups,
  DescribeBackupPolicy: describeBackupPolicy,
  ModifyBackupPolicy: modifyBackupPolicy,
  RestoreInstance: restoreInstance,
  CreateInstance: createInstance,
  ModifyInstanceTDE: modifyInstanceTde,
  DescribeInstanceTDEStatus: describeInstanceTdeStatus,
  DescribeEncryptionKeyList: describeEncryptionKeyList,
  DescribeEncryptionKey: describeEncryptionKey,
  CheckCloudResourceAuthorized: checkCloudResourceAuthorized,
};

const FORM = 'application/x-www-form-urlencoded';
const PARAMS_MAX = 64;
/** Not taken from an address: those are kept in logs of proxies. */
const SECRET = 'Password';
const KEY = /^[\x21-\x7e]{1,128}$/;
const WORK_MS = 50_000;

/**
 * Adds `/compat/r-kvstore`: calls as scripts for the managed service write them, `Action=…` with
 * parameters in the query or in a form. Not signed as there: a bearer token lets in. It is no part of
 * the API's document: docs/compat.md.
 */
export function addCompatRoutes(app: ApiApp, ports: ApiPorts): void {
  app.register((scoped, _, done) => {
    scoped.removeAllContentTypeParsers();
    scoped.addContentTypeParser(FORM, { parseAs: 'string' }, (_request, body, parsed) => {
      parsed(null, [...new URLSearchParams(String(body))]);
    });
    scoped.setErrorHandler((error, request, reply) => {
      const { code, status, message } = compatErrorOf(error);
      if (status >= 500) {
        const { traceId } = request;
        ports.logger.error('a call failed', { traceId, status, code });
      }
      const host = request.hostname.slice(0, 253);
      const body = { RequestId: request.traceId, HostId: host, Code: code, Message: message };
      return reply.code(status).send(body);
    });
    for (const method of ['GET', 'POST'] as const) {
      scoped.route({
        ...{ method, url: '/compat/r-kvstore', config: { scope: 'read' } },
        schema: { hide: true },
        handler: (request, reply) => answer(request, reply, ports),
      });
    }
    done();
  });
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { control }: ApiPorts,
): Promise<object> {
  const values = valuesOf(request);
  const name = values['Action'] ?? '';
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
  if (action === undefined) {
    const known = Object.keys(ACTIONS).join(', ');
    throw new CompatError('InvalidAction.NotFound', 404, `Action is not one of ${known}`);
  }
  if (request.method === 'GET' && action.scope !== 'read') {
    // A link that somebody follows must change nothing.
    throw new CompatError('UnsupportedHTTPMethod', 405, `${name} is done with POST`);
  }
  const { actor, scopes, traceId } = request;
  requireScope({ actor, scopes }, action.scope);
  const params = new CompatParams(values, action.params);
  if ((values['Format'] ?? 'JSON').toUpperCase() !== 'JSON') {
    throw new CompatError('InvalidParameter', 400, 'Format must be JSON, or left out');
  }
  const token = params.text('Token') ?? params.text('ClientToken');
  if (token !== undefined && !KEY.test(token)) {
    throw new CompatError('InvalidParameter', 400, 'Token has 1 to 128 printable characters');
  }
  const key = { actor: request.caller, key: `compat:${token ?? randomUUID()}` };
  const signal = action.scope === 'read' ? callerSignal(request, WORK_MS) : workSignal(WORK_MS);
  const call = {
    ...{ params, control, actor, scopes, signal },
    key: token === undefined ? undefined : key,
  };
  const fields = await action.run(call);
  reply.header('cache-control', 'no-store');
  return { RequestId: traceId, ...fields };
}

/** Parameters of the query and of the form together; none twice. */
function valuesOf({ query, body }: FastifyRequest): Readonly<Record<string, string>> {
  const values = new Map<string, string>();
  const given = [
    ...Object.entries(query as Record<string, unknown>),
    ...((body ?? []) as readonly (readonly [string, string])[]),
  ];
  if (Object.hasOwn(query as object, SECRET)) {
    throw new CompatError(
      'InvalidParameter',
      400,
      `${SECRET} is sent in the form, not in the query`,
    );
  }
  if (given.length > PARAMS_MAX) {
    throw new CompatError('InvalidParameter', 400, 'there are too many parameters');
  }
  for (const [name, value] of given) {
    if (typeof value !== 'string' || values.has(name)) {
      const shown = name.slice(0, 64);
      throw new CompatError('InvalidParameter', 400, `${shown} is given more than once`);
    }
    values.set(name, value);
  }
  return Object.fromEntries(values);
}
