import { TidemarkError, UsageError } from '@tidemark/core';
import { openTdeInstance, type TdeInstance } from '../../queries/open-tde.ts';
import { tdeDocument, type TdeDocument } from '../../queries/tde.ts';
import {
  authorizationDocument,
  keyDocuments,
  oneKeyDocument,
  visibleKeyDocument,
  type KeyDocument,
} from '../../queries/tde-keys.ts';
import { askForKeyBackup, enableInstanceTde } from '../../tde/enable-instance.ts';
import type { Control } from '../../control.ts';
import { holds, requireScope } from '../auth.ts';
import { wrongField } from '../problem-types.ts';
import { instanceParams } from '../schemas/common.ts';
import {
  AuthorizationSchema,
  KeyList,
  keyParams,
  keyQuery,
  KeySchema,
  TdeBody,
  TdeSchema,
} from '../schemas/tde.ts';
import type { ApiApp, ApiPorts, Scope } from '../types.ts';
import { callerSignal, workSignal } from './request-tools.ts';

const tags = ['tde'];
const WORK_MS = 45_000;
/** Why no request names a role: every host and every command would have to take it up, too. */
export const ROLE_HINT =
  'is not taken: Tidemark asks the key service as the role it runs as; name another one in the AWS profile of the service (role_arn, source_profile: docs/kms.md)';
const problems = ['kms-denied', 'kms-key-disabled', 'kms-unavailable'] as const;

/** Adds the routes of TDE. */
export function addTdeRoutes(app: ApiApp, ports: ApiPorts): void {
  app.addSchema(TdeSchema);
  app.addSchema(KeySchema);
  addStatus(app, ports);
  addKeys(app, ports);
}

function addStatus(app: ApiApp, { control }: ApiPorts): void {
  const tde = { description: 'How far TDE is.', $ref: 'Tde#' } as const;
  app.get(
    '/v1/instances/:instance/tde',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'getTde', summary: 'How far TDE of an instance is.', tags },
        ...{ params: instanceParams, response: { 200: tde } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const opened = await openFresh(instance, control, callerSignal(request, WORK_MS));
      return tdeDocument(instance, opened, control.workspace.catalog);
    },
  );
  app.put(
    '/v1/instances/:instance/tde',
    {
      config: { scope: 'admin', problems: [...problems, 'tde-irreversible', 'exists'] },
      schema: {
        operationId: 'modifyTde',
        summary: 'Switches TDE on, for good.',
        description:
          'The state is `modifying` until the archiver has made a full backup under the key. It may be sent again to go on with what was begun.',
        ...{ tags, params: instanceParams, body: TdeBody, response: { 200: tde } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { enabled, keyId, roleArn, confirm } = request.body;
      if (!enabled) throw irreversible(instance);
      if (roleArn !== undefined) {
        throw wrongField('/roleArn', ROLE_HINT);
      }
      const signal = workSignal(WORK_MS);
      const document = await switchOn(instance, { keyId, confirm }, control, signal);
      control.audit.append({
        ...{ actor: request.actor, action: 'tde.enable', instance, job: null },
        detail: document.keyId ?? '',
      });
      return document;
    },
  );
}

/**
 * Switches TDE on and has the archiver make the full backup.
 * @throws ApiProblem `validation` when it is not confirmed; as `enableTde`.
 */
export async function switchOn(
  instance: string,
  wish: { readonly keyId: string | undefined; readonly confirm: string | undefined },
  control: Pick<Control, 'workspace' | 'fresh'>,
  signal: AbortSignal,
): Promise<TdeDocument> {
  const { workspace } = control;
  const before = await openFresh(instance, control, signal);
  if (!before.tde.latched && wish.confirm !== instance) {
    throw wrongField('/confirm', `TDE cannot be switched off again: confirm must be ${instance}`);
  }
  const tde = await enableInstanceTde(before, wish.keyId ?? null, workspace);
  if (tde.state === 'modifying') await askForKeyBackup(instance, false, workspace, signal);
  const after = await openFresh(instance, control, signal, 0);
  return tdeDocument(instance, after, workspace.catalog);
}

/** The refusal of switching TDE off. */
export function irreversible(instance: string): TidemarkError {
  return new TidemarkError('TM_TDE_CANNOT_BE_DISABLED', 'TDE cannot be switched off', {
    context: { instance },
    hint: 'what it holds can be restored into a new instance',
  });
}

function addKeys(app: ApiApp, { control }: ApiPorts): void {
  app.get(
    '/v1/instances/:instance/tde/keys',
    {
      config: { scope: 'read', problems },
      schema: {
        ...{ operationId: 'listTdeKeys', summary: 'Keys that TDE of an instance can use.', tags },
        params: instanceParams,
        response: { 200: { description: 'Never all that an account has.', ...KeyList } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { tde } = await openFresh(instance, control, callerSignal(request, WORK_MS));
      return { instance, keys: await keyDocuments(tde, control.workspace.keys) };
    },
  );
  app.get(
    '/v1/instances/:instance/tde/keys/:key',
    {
      config: { scope: 'read', problems },
      schema: {
        ...{ operationId: 'getTdeKey', summary: 'One key, without its material.', tags },
        description:
          'One that the instance uses or has used, or that the list shows; any other for the scope `admin` alone.',
        params: keyParams,
        response: { 200: { description: 'The key.', $ref: 'EncryptionKey#' } },
      },
    },
    async (request) => {
      const { instance, key } = request.params;
      const opened = await openFresh(instance, control, callerSignal(request, WORK_MS));
      return keyFor(key, opened, control.workspace.keys, request.scopes);
    },
  );
  app.get(
    '/v1/instances/:instance/tde/authorization',
    {
      config: { scope: 'read', problems },
      schema: {
        operationId: 'checkTdeAuthorization',
        summary: 'Whether data keys can be made and opened with a key.',
        description:
          'Without keyId the key in use is asked for, or the one of the settings. Another one needs the scope `admin`.',
        ...{ tags, params: instanceParams, querystring: keyQuery },
        response: { 200: { description: 'The answer.', ...AuthorizationSchema } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { keyId } = request.query;
      // The service would try a key of the caller's choice with its own rights.
      if (keyId !== undefined) requireScope(request, 'admin');
      const { tde } = await openFresh(instance, control, callerSignal(request, WORK_MS));
      return knownKey(() => authorizationDocument(keyId, tde, control.workspace.keys));
    },
  );
}

/**
 * One key, for who holds these scopes: the service asks about a key of the caller's choice, with its
 * own rights, for an administrator only.
 */
export async function keyFor(
  name: string | undefined,
  opened: TdeInstance,
  keys: Control['workspace']['keys'],
  scopes: readonly Scope[],
): Promise<KeyDocument> {
  return knownKey(() =>
    name === undefined || holds(scopes, 'admin')
      ? oneKeyDocument(name, opened.tde, keys)
      : visibleKeyDocument(name, opened, keys),
  );
}

/** A key that somebody names and nobody has is not there; it is no fault of the key service. */
export async function knownKey<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || cause.code !== 'TM_KEY_MISSING') throw cause;
    throw new UsageError('TM_NOT_FOUND', cause.message, { cause });
  }
}

/** @throws UsageError `TM_NOT_FOUND`. */
export async function openFresh(
  instance: string,
  { fresh, workspace }: Pick<Control, 'fresh' | 'workspace'>,
  signal: AbortSignal,
  maxAgeMs?: number,
): Promise<TdeInstance> {
  await fresh.of(instance, maxAgeMs);
  return openTdeInstance(instance, workspace, signal);
}
