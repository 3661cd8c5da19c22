import { SOURCES } from '../../instances/entry-of-request.ts';
import { checkTarget } from '../../provision/allowed-targets.ts';
import { checkPassword } from '../../provision/password-rules.ts';
import { requireScope, type Caller } from '../auth.ts';
import { CloneBody } from '../schemas/clones.ts';
import { accepted } from '../schemas/jobs.ts';
import type { Control } from '../../control.ts';
import type { Json } from '../../jobs/job.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { acceptJob } from './job-document.ts';
import { pointOf, selectorOf, ttlOf } from './point-fields.ts';
import { asField, callerSignal } from './request-tools.ts';
import { requirePoint } from './require-point.ts';
import { pointJson, selectorJson } from './restore-order.ts';

const CHECK_MS = 30_000;

/** Adds the route that makes new instances from others. */
export function addCloneRoutes(app: ApiApp, { control, clock }: ApiPorts): void {
  app.post(
    '/v1/clones',
    {
      config: {
        ...{ scope: 'restore', idempotent: true },
        problems: [
          ...['time-not-recoverable', 'target-not-empty', 'target-too-small', 'topology-mismatch'],
          ...['target-version-too-old', 'tde-denied', 'kms-denied', 'busy', 'job-limit', 'refused'],
        ],
      },
      schema: {
        operationId: 'createClone',
        summary: 'Makes a new instance from a backup or a second of another one.',
        description:
          'Into a server that is there (`address`), one that is started here (`local`), or one that the hook of the configuration makes (`hook`). It is handed over once it is verified; one that failed is cleaned up.',
        ...{ tags: ['clones'], body: CloneBody, response: accepted },
      },
    },
    async (request, reply) => {
      const { sourceId: instance, shardCount, password, ...body } = request.body;
      const { target, name, passwordRef, memoryBytes, sample, register, keep, verify } = body;
      if (register === true) await mayRegister(request, target, control);
      const point = pointOf(body);
      const selector = selectorOf(body);
      const ttl = ttlOf(body, point, selector !== null, clock.nowMs());
      if (password !== undefined) asField('/password', () => checkPassword(password));
      await requirePoint(instance, point, control, callerSignal(request, CHECK_MS));
      const wish = {
        source: sourceJson(pointJson(point)),
        selector: selectorJson(selector),
        ...{ ttl, target, name, password, passwordRef, memoryBytes, sample, register, keep },
        ...{ verify, shards: shardCount, withFunctions: body.withFunctions },
      };
      const { actor, idempotency } = request;
      const order = { kind: 'clone', instance, request: given(wish), actor } as const;
      return acceptJob(reply, await control.jobs.submit(order, idempotency ?? undefined));
    },
  );
}

/**
 * What is taken under protection is a server of our own, or one that an administrator could add: else a
 * clone would be the way around `[server] allow_sources`.
 */
async function mayRegister(
  caller: Caller,
  target: { readonly kind: string; readonly url?: string },
  { workspace }: Pick<Control, 'workspace'>,
): Promise<void> {
  if (target.kind === 'local') return;
  requireScope(caller, 'admin');
  if (target.url !== undefined) {
    await checkTarget(target.url, workspace.config.allowSources, undefined, SOURCES);
  }
}

/** A clone knows no timelines: it takes the one that is current then. */
function sourceJson(point: Json): Json {
  if (typeof point !== 'object' || point === null || Array.isArray(point)) return point;
  return Object.fromEntries(Object.entries(point).filter(([name]) => name !== 'timeline'));
}

/** The fields that were given: what is left out is up to the handler of the job. */
export function given(fields: object): Json {
  const all: readonly (readonly [string, Json | undefined])[] = Object.entries(fields);
  const found: Record<string, Json> = {};
  for (const [name, value] of all) if (value !== undefined) found[name] = value;
  return found;
}
