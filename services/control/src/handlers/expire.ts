import { runRetention } from '@tidemark/archiver';
import { expireUndoPacks } from '@tidemark/restorer';
import { retentionRules } from '@tidemark/workspace';
import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { checked } from './request-parts.ts';

interface ExpireInput {
  readonly dryRun?: boolean;
  readonly force?: boolean;
}

const validator = Compile({
  type: 'object',
  additionalProperties: false,
  properties: { dryRun: { type: 'boolean' }, force: { type: 'boolean' } },
} as const);

/** Lets go of what the policy keeps no longer. An attempt that was killed is simply done again. */
export function expireHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'expire',
    check: ({ instance, request }) => {
      const { dryRun = false, force = false } = checked<ExpireInput>(validator, request ?? {});
      knownInstance(ports.workspace.catalog, instance);
      return { dryRun, force };
    },
    exclusive: ({ instance }) => `expire:${instance}`,
    run: (context) => runExpire(context, ports),
    cleanUp: async () => Promise.resolve(),
  };
}

async function runExpire(context: JobContext, ports: HandlerPorts): Promise<JobOutcome> {
  const { job, signal } = context;
  const { instance } = job;
  const { workspace, clock, random } = ports;
  const { store, keys, catalog, config } = workspace;
  const { dryRun, force } = job.request as { readonly dryRun: boolean; readonly force: boolean };
  context.progress({ phase: 'sync', percent: 0 });
  await workspace.sync(signal, instance);
  context.progress({ phase: 'retention', percent: 20 });
  const report = await runRetention(
    {
      ...retentionRules(config),
      ...(force && { shareMax: 1 }),
      ...{ instance, stateDir: config.stateDir, dryRun },
    },
    { ...{ store, keys, catalog, signal, clock, random } },
  );
  context.progress({ phase: 'undo-packs', percent: 80 });
  const warn = (message: string): void => context.log('warn', message);
  const source = { store, keys, catalog, signal, clock, warn };
  const undoPacks = await expireUndoPacks(instance, dryRun, source);
  return { state: 'succeeded', result: plain({ ...report, undoPacks }) };
}

/** Offsets become decimal texts. */
function plain(value: object): Json {
  const text = JSON.stringify(value, (_name, each: unknown) =>
    typeof each === 'bigint' ? each.toString() : each,
  );
  return JSON.parse(text) as Json;
}
