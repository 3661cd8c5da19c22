import { formatSecond } from '@tidemark/workspace';
import type { RecycledInstance } from '../../recycle/recycle-bin.ts';
import { checkPassword } from '../../provision/password-rules.ts';
import { wrongField } from '../problem-types.ts';
import { confirmQuery, RebuildBody, RecycledSchema, RecycleList } from '../schemas/clones.ts';
import { instanceParams } from '../schemas/common.ts';
import { accepted } from '../schemas/jobs.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { given } from './clones.ts';
import { acceptJob } from './job-document.ts';
import { asField, workSignal } from './request-tools.ts';

const tags = ['recycle bin'];
const WORK_MS = 50_000;
const DAY_MS = 86_400_000;

/** Adds the routes of the recycle bin. */
export function addRecycleRoutes(app: ApiApp, ports: ApiPorts): void {
  app.addSchema(RecycledSchema);
  addLists(app, ports);
  addRelease(app, ports);
  addRebuild(app, ports);
}

function addLists(app: ApiApp, { control, clock }: ApiPorts): void {
  app.get(
    '/v1/recycle-bin',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'listRecycleBin', summary: 'Released instances.', tags },
        response: { 200: { description: 'What is in the bin.', ...RecycleList } },
      },
    },
    async () => {
      // However many ask, the store is read by one of them.
      await control.fresh.all();
      const nowMs = clock.nowMs();
      return { instances: control.recycle.known().map((one) => recycledDocument(one, nowMs)) };
    },
  );
}

function addRelease(app: ApiApp, { control, clock }: ApiPorts): void {
  const recycled = { description: 'It as it is now.', $ref: 'RecycledInstance#' } as const;
  app.delete(
    '/v1/instances/:instance',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'releaseInstance',
        summary: 'Releases an instance into the recycle bin.',
        description: 'It is captured no more; all that is stored of it is kept for its time.',
        ...{ tags, params: instanceParams, response: { 200: recycled } },
      },
    },
    async (request) => {
      const { actor, params } = request;
      const signal = workSignal(WORK_MS);
      return recycledDocument(
        await control.recycle.put(params.instance, actor, signal),
        clock.nowMs(),
      );
    },
  );
  app.delete(
    '/v1/recycle-bin/:instance',
    {
      config: { scope: 'admin', problems: ['busy', 'repo-unavailable'] },
      schema: {
        operationId: 'destroyInstance',
        summary: 'Destroys a released instance, for good.',
        description: 'Its keys are destroyed at once, its objects go after the grace.',
        ...{ tags, params: instanceParams, querystring: confirmQuery },
        response: { 200: recycled },
      },
    },
    async (request) => {
      const { actor, params, query } = request;
      if (query.confirm !== params.instance) {
        throw wrongField('query/confirm', `there is no way back: it must be ${params.instance}`);
      }
      const signal = workSignal(WORK_MS);
      const gone = await control.recycle.destroy(params.instance, query.confirm, actor, signal);
      return recycledDocument(gone, clock.nowMs());
    },
  );
}

function addRebuild(app: ApiApp, { control }: ApiPorts): void {
  app.post(
    '/v1/recycle-bin/:instance(^[^/:]+)::rebuild',
    {
      config: {
        ...{ scope: 'admin', idempotent: true },
        problems: ['tde-rebuild-unsupported', 'target-not-empty', 'target-too-small', 'busy'],
      },
      schema: {
        operationId: 'rebuildInstance',
        summary: 'Makes a new instance of a released one.',
        description: 'With its data, users, passwords, settings and policy. Not with TDE.',
        ...{ tags, params: instanceParams, body: RebuildBody, response: accepted },
      },
    },
    async (request, reply) => {
      const { actor, idempotency, body } = request;
      const { instance } = request.params;
      const { password } = body;
      if (password !== undefined) asField('/password', () => checkPassword(password));
      const order = { kind: 'rebuild', instance, request: given(body), actor } as const;
      return acceptJob(reply, await control.jobs.submit(order, idempotency ?? undefined));
    },
  );
}

function recycledDocument(one: RecycledInstance, nowMs: number): object {
  const { instance, name, state, sinceMs, untilMs, by, node, tde, rebuilds, goneMs } = one;
  return {
    ...{ id: instance, name, state, by, tde },
    releasedAt: instant(sinceMs),
    keptUntil: instant(untilMs),
    daysLeft: Math.max(0, Math.floor((untilMs - nowMs) / DAY_MS)),
    url: node?.url ?? null,
    source: node?.source ?? null,
    canRebuild: !tde && (state === 'kept' || state === 'due'),
    objectsGoAt: goneMs === null ? null : instant(goneMs),
    rebuilds: rebuilds.map(({ atMs, ...rebuild }) => ({ ...rebuild, at: instant(atMs) })),
  };
}

function instant(ms: number): string {
  return formatSecond(Math.floor(ms / 1000));
}
