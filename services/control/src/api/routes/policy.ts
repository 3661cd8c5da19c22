import { requireLog } from '../../queries/require-log.ts';
import { isKnown, requireMatch } from '../etag.ts';
import { emptyBody, instanceParams } from '../schemas/common.ts';
import { FlashbackSchema, PolicyBody, PolicySchema } from '../schemas/policy.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import {
  policyDocument,
  policyOf,
  requirePolicyScope,
  setPolicy,
  type PolicyFields,
} from './policy-document.ts';
import { callerSignal } from './request-tools.ts';

const tags = ['policy'];
const WORK_MS = 30_000;
const path = '/v1/instances/:instance/backup-policy';

/** Adds the routes of backup policies and of flashback. */
export function addPolicyRoutes(app: ApiApp, ports: ApiPorts): void {
  app.addSchema(PolicySchema);
  addPolicy(app, ports);
  addFlashback(app, ports);
}

function addPolicy(app: ApiApp, { control: { policy: desk } }: ApiPorts): void {
  const policy = { description: 'The policy, with its ETag.', $ref: 'BackupPolicy#' } as const;
  app.get(
    path,
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getBackupPolicy',
        summary: 'When backups are made, and how long history is kept.',
        ...{ tags, params: instanceParams },
        response: { 200: policy, 304: { description: 'It is the one of If-None-Match.' } },
      },
    },
    async (request, reply) => {
      const view = await desk.get(request.params.instance);
      if (isKnown(request, reply, view.etag)) return reply.code(304).send();
      return policyDocument(view, desk);
    },
  );
  app.put(
    path,
    {
      config: { scope: 'backup', conditional: true },
      schema: {
        operationId: 'putBackupPolicy',
        summary: 'Sets the policy of an instance.',
        description:
          'What is optional and left out stays as it is. Keeping less history, and switching flashback, needs the scope `admin`.',
        ...{ tags, params: instanceParams, body: PolicyBody, response: { 200: policy } },
      },
    },
    async (request, reply) => {
      const { instance } = request.params;
      const before = await desk.get(instance);
      requireMatch(request, before.etag);
      const fields: PolicyFields = request.body;
      const wanted = policyOf(fields, before);
      requirePolicyScope(request, before.policy, wanted);
      const options = { actor: request.actor, ifMatch: before.etag };
      const view = await setPolicy(desk, instance, wanted, options);
      reply.header('etag', view.etag);
      return policyDocument(view, desk);
    },
  );
}

function addFlashback(app: ApiApp, { control }: ApiPorts): void {
  for (const enabled of [true, false]) {
    const verb = enabled ? 'enable' : 'disable';
    app.post(
      `/v1/instances/:instance/flashback::${verb}`,
      {
        config: { scope: 'admin', problems: ['aof-disabled', 'node-unavailable'] },
        schema: {
          operationId: `${verb}Flashback`,
          summary: enabled
            ? 'Keeps the log of an instance from now on, for any second.'
            : 'Keeps the log no more: only backups are made. What is stored stays until it expires.',
          ...{ tags: ['flashback'], params: instanceParams, body: emptyBody },
          response: { 200: { description: 'As it is now.', ...FlashbackSchema } },
        },
      },
      async (request) => {
        const { instance } = request.params;
        const { workspace, policy: desk } = control;
        const { policy, etag } = await desk.get(instance);
        if (enabled) await requireLog(instance, workspace.config, callerSignal(request, WORK_MS));
        if (policy.flashback !== enabled) {
          const options = { actor: request.actor, ifMatch: etag };
          await desk.set(instance, { ...policy, flashback: enabled }, options);
        }
        return { instance, enabled };
      },
    );
  }
}
