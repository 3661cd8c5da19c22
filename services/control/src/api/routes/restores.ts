import { formatSecond } from '@tidemark/workspace';
import { instanceParams } from '../schemas/common.ts';
import { accepted } from '../schemas/jobs.ts';
import { PlanBody, PlanSchema, RestoreBody } from '../schemas/restores.ts';
import { wrongField } from '../problem-types.ts';
import { holds } from '../auth.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { Gate } from './gate.ts';
import { acceptJob } from './job-document.ts';
import { PlanShelf } from './plan-shelf.ts';
import { callerSignal } from './request-tools.ts';
import { requirePoint } from './require-point.ts';
import { orderOf, wishOf, type RestoreBodyFields } from './restore-order.ts';
import { planOf } from './restore-plan.ts';

const tags = ['restores'];
const PLANS_MAX = 2;
/** Below the time within which the server answers. */
const PLAN_MS = 55_000;
const CHECK_MS = 30_000;

const problems = [
  ...['time-not-recoverable', 'restore-in-progress', 'aof-disabled', 'target-not-empty'],
  ...['target-too-small', 'target-version-too-old', 'topology-mismatch', 'tde-denied'],
  ...['kms-denied', 'repo-unavailable', 'repo-corrupt', 'filter-limit', 'job-limit', 'refused'],
] as const;

/** Adds the routes of restores and their plans. */
export function addRestoreRoutes(app: ApiApp, ports: ApiPorts): void {
  app.addSchema(PlanSchema);
  const { control, clock, random } = ports;
  const digestKey = (): Promise<Buffer> => control.secrets.digestKey(random);
  const shelf = new PlanShelf({ state: control.state, clock, random, digestKey });
  addPlans(app, ports, shelf);
  addRestores(app, ports, shelf);
}

function addPlans(app: ApiApp, { control, clock }: ApiPorts, shelf: PlanShelf): void {
  const gate = new Gate(PLANS_MAX, 'plans');
  app.post(
    '/v1/restore-plans',
    {
      config: { scope: 'restore', problems: [...problems, 'overloaded', 'node-unavailable'] },
      schema: {
        operationId: 'planRestore',
        summary: 'What a restore would do; nothing is written.',
        description:
          'The body of a restore, with the instance. A restore may name the plan for ten minutes, so that it does what was shown. It is made while you wait: one that takes longer than 55 seconds is given up.',
        ...{ tags, body: PlanBody },
        response: { 200: { description: 'The plan.', $ref: 'RestorePlan#' } },
      },
    },
    async (request) => {
      const { instanceId: instance, ...body } = request.body;
      const fields: RestoreBodyFields = body;
      const wish = wishOf(fields, clock.nowMs());
      const signal = callerSignal(request, PLAN_MS);
      await requirePoint(instance, wish.point, control, signal);
      const view = { control, seesKeys: holds(request.scopes, 'key:read') };
      const plan = await gate.through(() => planOf(instance, wish, view, signal));
      const { actor } = request;
      const detail = `${wish.target.kind}${view.seesKeys ? ', with keys' : ''}`;
      control.audit.append({ actor, action: 'restore.plan', instance, job: null, detail });
      const { planId, untilMs } = await shelf.keep(instance, body);
      const isOriginal = wish.target.kind === 'original';
      return {
        planId,
        expiresAt: formatSecond(Math.floor(untilMs / 1000)),
        instance,
        confirmationText: isOriginal ? instance : '',
        ...plan,
      };
    },
  );
}

function addRestores(app: ApiApp, { control, clock }: ApiPorts, shelf: PlanShelf): void {
  app.post(
    '/v1/instances/:instance/restores',
    {
      config: { scope: 'restore', idempotent: true, problems },
      schema: {
        operationId: 'createRestore',
        summary: 'Restores an instance, or some of its keys, to a point.',
        description:
          'Into a new server that is started here, a server of `[restorer] allow_targets`, or, some keys, the running original: then `confirm` is the id of the instance.',
        ...{ tags, params: instanceParams, body: RestoreBody, response: accepted },
      },
    },
    async (request, reply) => {
      const { instance } = request.params;
      const { planId, confirm, ...body } = request.body;
      const fields: RestoreBodyFields = body;
      const wish = wishOf(fields, clock.nowMs());
      if (wish.target.kind === 'original' && confirm !== instance) {
        throw wrongField(
          '/confirm',
          `keys of the running instance are overwritten: confirm must be ${instance}`,
        );
      }
      if (planId !== undefined) await shelf.require(planId, instance, body);
      await requirePoint(instance, wish.point, control, callerSignal(request, CHECK_MS));
      const { actor, idempotency } = request;
      const order = { ...orderOf(wish, fields), instance, actor };
      const job = await control.jobs.submit(order, idempotency ?? undefined);
      return acceptJob(reply, job);
    },
  );
}
