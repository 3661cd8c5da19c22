import { runRetention } from '@tidemark/archiver';
import { KeyError } from '@tidemark/core';
import { listUndoPacks, removeUndoPack } from '@tidemark/restorer';
import { retentionRules } from '@tidemark/workspace';
import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { checked } from './request-parts.ts';

/** How far a clock may be ahead of the last entry of a log. */
const CLOCK_AHEAD_MS_MAX = 86_400_000;

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
  const undoPacks = await expireUndo(instance, dryRun, context, ports);
  return { state: 'succeeded', result: plain({ ...report, undoPacks }) };
}

/** Deletes undo packs over their time; never by a clock that is far ahead of the log. */
async function expireUndo(
  instance: string,
  dryRun: boolean,
  context: JobContext,
  { workspace, clock }: HandlerPorts,
): Promise<readonly string[]> {
  const { store, keys, catalog } = workspace;
  const source = { store, keys, signal: context.signal };
  const written = catalog.writers(instance).map(({ state }) => state.lastEntryMs ?? -Infinity);
  const nowMs = Math.min(clock.nowMs(), Math.max(...written) + CLOCK_AHEAD_MS_MAX);
  const over: string[] = [];
  try {
    for (const { restore, expiresMs } of await listUndoPacks(instance, source)) {
      if (expiresMs > nowMs) continue;
      if (!dryRun) await removeUndoPack(instance, restore, source);
      over.push(restore);
    }
  } catch (cause) {
    if (!(cause instanceof KeyError)) throw cause;
    context.log('warn', `undo packs are left as they are: ${cause.message}`);
  }
  return over;
}

/** Offsets become decimal texts. */
function plain(value: object): Json {
  const text = JSON.stringify(value, (_name, each: unknown) =>
    typeof each === 'bigint' ? each.toString() : each,
  );
  return JSON.parse(text) as Json;
}
