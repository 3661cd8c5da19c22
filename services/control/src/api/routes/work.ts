import type { Job, Json } from '../../jobs/job.ts';
import { ClearBody, ExpireBody, PurgeBody, RewrapBody, VerifyBody } from '../schemas/clones.ts';
import { instanceParams } from '../schemas/common.ts';
import { accepted } from '../schemas/jobs.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { given } from './clones.ts';
import { acceptJob } from './job-document.ts';

/** Work on an instance that is nothing but a job: its route, and how its body becomes a request. */
interface Work {
  readonly verb: string;
  readonly kind: Job['kind'];
  readonly scope: 'admin' | 'backup';
  readonly operationId: string;
  readonly summary: string;
  readonly tag: string;
  /** Beyond those that all of it has. */
  readonly problems?: readonly string[];
  readonly body: object;
  readonly request: (body: Readonly<Record<string, Json>>) => Json;
}

const WORKS: readonly Work[] = [
  {
    ...{ verb: 'clear-data', kind: 'clear-data', scope: 'admin', operationId: 'clearData' },
    ...{ summary: 'Removes all data of the running server, after a backup.', tag: 'instances' },
    body: ClearBody,
    request: given,
  },
  {
    ...{ verb: 'purge-expired', kind: 'purge-expired', scope: 'admin' },
    operationId: 'purgeExpired',
    ...{ summary: 'Removes expired keys of the running server.', tag: 'instances' },
    body: PurgeBody,
    request: given,
  },
  {
    ...{ verb: 'verify', kind: 'verify', scope: 'backup', operationId: 'verifyInstance' },
    summary: 'Reads every byte of an instance or a backup and verifies it.',
    tag: 'backups',
    body: VerifyBody,
    request: ({ backupId = null }) => ({ backup: backupId }),
  },
  {
    ...{ verb: 'rewrap', kind: 'rewrap', scope: 'admin', operationId: 'rewrapInstance' },
    ...{ summary: 'Wraps every data key of an instance anew.', tag: 'tde' },
    problems: ['kms-denied', 'kms-key-disabled', 'kms-unavailable'],
    body: RewrapBody,
    request: ({ keyId = null }) => ({ kmsKey: keyId }),
  },
  {
    ...{ verb: 'expire', kind: 'expire', scope: 'admin', operationId: 'expireInstance' },
    ...{ summary: 'Lets go of what the policy keeps no longer.', tag: 'instances' },
    body: ExpireBody,
    request: given,
  },
];

/** Adds `POST /v1/instances/{id}:VERB` for work that is nothing but a job. */
export function addWorkRoutes(app: ApiApp, { control }: ApiPorts): void {
  for (const work of WORKS) {
    const { verb, kind, scope, operationId, summary, tag, body, request: requestOf } = work;
    const problems = ['busy', 'job-limit', 'node-unavailable', ...(work.problems ?? [])];
    app.post(
      `/v1/instances/:instance(^[^/:]+)::${verb}`,
      {
        config: { scope, idempotent: true, problems },
        schema: {
          ...{ operationId, summary, tags: [tag] },
          ...{ params: instanceParams, body, response: accepted },
        },
      },
      async (request, reply) => {
        const { actor, idempotency } = request;
        const { instance } = request.params;
        await control.fresh.of(instance);
        const wish = requestOf(request.body as Readonly<Record<string, Json>>);
        const order = { kind, instance, request: wish, actor };
        return acceptJob(reply, await control.jobs.submit(order, idempotency ?? undefined));
      },
    );
  }
}
