import { formatSecond } from '@tidemark/workspace';
import type { CaptureStatus } from '@tidemark/archiver';
import { nodeFindings, type Finding } from '../../queries/check-node.ts';
import { factsDocument } from '../../queries/facts.ts';
import { configuredEntry, instanceRows } from '../../queries/instances.ts';
import { knownInstance } from '../../queries/known-instance.ts';
import { openTdeInstance } from '../../queries/open-tde.ts';
import { askStatus, instanceStatus, statusDocument } from '../../queries/status.ts';
import { emptyBody, instanceParams, time } from '../schemas/common.ts';
import {
  CheckSchema,
  FactsSchema,
  InstanceDetail,
  InstanceList,
  InstanceSchema,
  StatusSchema,
} from '../schemas/instances.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { callerSignal, secondOf } from './request-tools.ts';

const tags = ['instances'];
const WORK_MS = 30_000;

/** Adds the routes of instances. */
export function addInstanceRoutes(app: ApiApp, ports: ApiPorts): void {
  app.addSchema(InstanceSchema);
  addLists(app, ports);
  addOne(app, ports);
  addCheck(app, ports);
}

function addLists(app: ApiApp, { control }: ApiPorts): void {
  app.get(
    '/v1/instances',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'listInstances', summary: 'Every instance.', tags },
        response: { 200: { description: 'Instances.', ...InstanceList } },
      },
    },
    async () => {
      const catalog = await control.fresh.all();
      return { instances: instanceRows(catalog, control.workspace.config) };
    },
  );
  app.get(
    '/v1/status',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getStatus',
        summary: 'What is captured, how far behind it is, and what can be restored.',
        tags,
        response: { 200: { description: 'The status of everything.', ...StatusSchema } },
      },
    },
    async (request) => {
      const { workspace, fresh } = control;
      await fresh.all();
      const answer = await askStatus(workspace, callerSignal(request, WORK_MS));
      return statusDocument(workspace, answer, control.clock.nowMs());
    },
  );
}

function addOne(app: ApiApp, { control }: ApiPorts): void {
  app.get(
    '/v1/instances/:instance',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'getInstance', summary: 'One instance.', tags },
        params: instanceParams,
        response: { 200: { description: 'The instance.', ...InstanceDetail } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { workspace, fresh } = control;
      const signal = callerSignal(request, WORK_MS);
      const catalog = await fresh.of(instance);
      const { name, createdMs, removedMs, originalRestore } = knownInstance(catalog, instance);
      const row = instanceRows(catalog, workspace.config).find(({ id }) => id === instance);
      const { tde } = await openTdeInstance(instance, workspace, signal);
      const answer = await askStatus(workspace, signal);
      return {
        ...row,
        name,
        createdAt: createdMs === null ? null : formatSecond(Math.floor(createdMs / 1000)),
        removedAt: removedMs === null ? null : formatSecond(Math.floor(removedMs / 1000)),
        tde: tde.state,
        allowOriginalRestore: originalRestore,
        status: instanceStatus(catalog, instance, answer, control.clock.nowMs()),
      };
    },
  );
  app.get(
    '/v1/instances/:instance/facts',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getFacts',
        summary: 'What the node was beside its data: version, modules, settings, users.',
        ...{ tags, params: instanceParams },
        querystring: { type: 'object', additionalProperties: false, properties: { at: time } },
        response: { 200: { description: 'No secrets.', ...FactsSchema } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { at } = request.query;
      const second = at === undefined ? null : secondOf(at, 'query/at');
      const catalog = await control.fresh.of(instance);
      knownInstance(catalog, instance);
      return factsDocument(instance, second, control.workspace, callerSignal(request, WORK_MS));
    },
  );
}

function addCheck(app: ApiApp, { control, clock }: ApiPorts): void {
  app.post(
    '/v1/instances/:instance(^[^/:]+)::check',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'checkInstance',
        summary: 'Looks whether the node of an instance can be captured, and is.',
        description: 'It is connected to, and measured for two seconds; nothing is changed.',
        ...{ tags, params: instanceParams, body: emptyBody },
        response: { 200: { description: 'What was found.', ...CheckSchema } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { workspace } = control;
      const signal = callerSignal(request, WORK_MS);
      const entry = configuredEntry(instance, workspace.config);
      const answer = await askStatus(workspace, signal);
      const capture = answer?.captures.find((one) => one.instance === instance) ?? null;
      const findings = [
        ...(await nodeFindings(entry, {
          ...{ configPath: workspace.config.path, clock, signal },
          // The archiver looks at the files; this process may not be allowed to.
          filesOf: () => Promise.resolve(`pins ${capture?.pinClass ?? 'unknown'}`),
        })),
        captureFinding(capture),
      ];
      return { instance, healthy: findings.every(({ ok }) => ok), findings };
    },
  );
}

function captureFinding(capture: CaptureStatus | null): Finding {
  const check = 'capture';
  if (capture === null) {
    return { check, ok: false, detail: 'no archiver of this host captures it' };
  }
  const { state, failure, linkError, storeError, lagSeconds } = capture;
  const ails = failure?.message ?? linkError ?? storeError;
  const lag = lagSeconds === null ? '' : `, ${lagSeconds.toString()} s behind`;
  return { check, ok: ails === null, detail: ails ?? `${state}${lag}` };
}
