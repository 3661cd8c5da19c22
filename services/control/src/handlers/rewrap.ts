import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome } from '../jobs/job.ts';
import { knownInstance } from '../queries/known-instance.ts';
import { refuseRewrapFaults, rewrapInstance } from '../tde/rewrap-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { checked } from './request-parts.ts';

interface RewrapInput {
  readonly kmsKey?: string | null;
}

const validator = Compile({
  type: 'object',
  additionalProperties: false,
  properties: {
    kmsKey: { anyOf: [{ type: 'string', minLength: 1, maxLength: 2048 }, { type: 'null' }] },
  },
} as const);

/** Wraps the data keys of an instance anew. At every instant each of them opens; killed, it goes on. */
export function rewrapHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'rewrap',
    check: ({ instance, request }) => {
      const { kmsKey = null } = checked<RewrapInput>(validator, request ?? {});
      knownInstance(ports.workspace.catalog, instance);
      return { kmsKey };
    },
    exclusive: ({ instance }) => `rewrap:${instance}`,
    run: (context) => runRewrap(context, ports),
    cleanUp: async () => Promise.resolve(),
  };
}

async function runRewrap(context: JobContext, ports: HandlerPorts): Promise<JobOutcome> {
  const { job, signal } = context;
  const { workspace, clock } = ports;
  const { instance } = job;
  const { kmsKey } = job.request as { readonly kmsKey: string | null };
  context.progress({ phase: 'sync', percent: 0 });
  await workspace.sync(signal, instance);
  context.progress({ phase: 'wrap', percent: 5 });
  const { target, report } = await rewrapInstance(instance, kmsKey ?? undefined, {
    ...{ workspace, clock, signal },
    onProgress: (keysDone) => context.progress({ phase: 'wrap', keysDone }),
    warn: (message) => context.log('warn', message),
  });
  const { faults, ...counts } = report;
  for (const { dekId, message, code } of faults)
    context.log('error', `${dekId}: ${message} (${code})`);
  refuseRewrapFaults(instance, report);
  const { provider, keyId } = target;
  return { state: 'succeeded', result: { key: { provider, keyId }, ...counts } };
}
