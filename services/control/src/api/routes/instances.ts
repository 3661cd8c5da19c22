import { formatSecond } from '@tidemark/workspace';
import { factsDocument } from '../../queries/facts.ts';
import { instanceRows } from '../../queries/instances.ts';
import { knownInstance } from '../../queries/known-instance.ts';
import { openTdeInstance } from '../../queries/open-tde.ts';
import { askStatus, instanceStatus, statusDocument } from '../../queries/status.ts';
import { instanceParams, time } from '../schemas/common.ts';
import {
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
