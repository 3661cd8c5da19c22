import { TidemarkError, UsageError } from '@tidemark/core';
import {
  abortRestore,
  endLeftServer,
  restore,
  restoreState,
  resumeRestore,
  type RestoreEnvironment,
  type RestoreReport,
} from '@tidemark/restorer';
import {
  configuredAddress,
  freshen,
  loadConfig,
  readFrom,
  readSecret,
  restoreEnvironment,
  withLease,
} from '@tidemark/workspace';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { restoreIdOf } from '../jobs/restore-id.ts';
import { checkTarget } from '../provision/allowed-targets.ts';
import { refuseConfiguredNode } from '../provision/configured-nodes.ts';
import { restoreRef } from '../provision/new-server.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { pointOf } from './request-parts.ts';
import { RestorePhases } from './restore-phases.ts';
import { checkRestore, restoreOf, type RestoreJobRequest } from './restore-request.ts';

/** What an attempt of a restore leaves for the next one. */
interface RestoreCheckpoint {
  /** Id of the restore; noted before anything of it is begun. */
  readonly restore: string;
  /** Restores of this job so far: each begins with an id of its own. */
  readonly round: number;
  /** Where the data are, once the target is whole: nothing of it is taken back any more. */
  readonly whole: string | null;
}

/** Only this is asked of a job whose request was lost: it goes on from its record. */
interface GoOn {
  readonly goOn: string;
}

/** Restores into a server that is started here, or one of `[restorer] allow_targets`. */
export function restoreHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'restore',
    check: async ({ instance, request, actor }) => {
      knownInstance(ports.workspace.catalog, instance);
      return (await checkRestore(request, actor, ports)) as unknown as Json;
    },
    // Two of them must not write into one server.
    exclusive: ({ request }) => {
      const asked = request as unknown as RestoreJobRequest | GoOn;
      if ('goOn' in asked || asked.target.kind === 'new') return null;
      return (asked.writesTo ?? [`target:${asked.target.url}`]).join('\n');
    },
    run: (context) => runRestore(context, ports),
    cleanUp: (context) => cleanUpRestore(context, ports),
    takeBack: (context) => takeBackRestore(context, ports),
  };
}

async function runRestore(context: JobContext, ports: HandlerPorts): Promise<JobOutcome> {
  const { job, signal } = context;
  const { workspace, clock } = ports;
  const { instance } = job;
  const known = checkpointOf(context);
  const state = known === null ? null : await stateOf(known, ports);
  if (known !== null && state === null) {
    if (known.whole !== null) {
      return endedBefore(known, known.whole, await passwordRefOf(job.id, ports));
    }
    if ('goOn' in (job.request as object)) throw lostRequest(known.restore);
  }
  const phases = new RestorePhases(context, clock);
  await freshen(workspace, instance, signal);
  const environment: RestoreEnvironment = {
    ...restoreEnvironment(workspace, {
      signal,
      onProgress: phases.told,
      onVanishing: ({ count }) =>
        context.log(
          'info',
          `${count.toString()} keys will expire at once: they had little left to live`,
        ),
    }),
    original: await configuredAddress(instance, workspace.config),
    checkNode: (target) => refuseConfiguredNode(target, workspace, signal),
    onPhase: phases.ended,
    onWhole: async (id, target) =>
      context.keep({ restore: id, round: roundAfter(known, state), whole: target }),
  };
  const report =
    known !== null && state !== null
      ? await goOn(known, context, environment, ports)
      : await begin(known, context, environment, ports);
  for (const warning of report.warnings) context.log('warn', warning);
  const passwordRef = await passwordRefOf(job.id, ports);
  return { state: 'succeeded', result: { ...report, passwordRef } as unknown as Json };
}

async function begin(
  known: RestoreCheckpoint | null,
  context: JobContext,
  environment: RestoreEnvironment,
  ports: HandlerPorts,
): Promise<RestoreReport> {
  const { job } = context;
  const { workspace } = ports;
  const asked = job.request as unknown as RestoreJobRequest;
  if (known !== null) await endLeftServer(known.restore, null, environment);
  const round = roundAfter(known, null);
  const id = restoreIdOf(job.id, round);
  // Before a server is started for it, so that whoever comes next finds that.
  await context.keep({ restore: id, round, whole: null });
  context.log('info', `restore ${id} begins`);
  const { instance, actor } = job;
  const origin = { job: job.id, instance, actor, signal: context.signal };
  const request = await restoreOf(id, origin, asked, ports);
  const fromSecond = readFrom(workspace.catalog, job.instance, pointOf(asked.point));
  const reading = { instance: job.instance, fromSecond, isLong: true } as const;
  return withLease(reading, workspace, notesOf(context), () => restore(request, environment));
}

async function goOn(
  known: RestoreCheckpoint,
  context: JobContext,
  environment: RestoreEnvironment,
  { workspace }: HandlerPorts,
): Promise<RestoreReport> {
  const { instance } = context.job;
  const asked = context.job.request as unknown as RestoreJobRequest | GoOn;
  // The list may be shorter by now.
  if (!('goOn' in asked) && asked.target.kind === 'address') {
    await checkTarget(asked.target.url, workspace.config.worker.allowTargets);
  }
  context.log('info', `restore ${known.restore} goes on`);
  const reading = { instance, fromSecond: null, isLong: true } as const;
  return withLease(reading, workspace, notesOf(context), () =>
    resumeRestore(instance, known.restore, readSecret, environment),
  );
}

async function cleanUpRestore(
  context: Omit<JobContext, 'progress'>,
  ports: HandlerPorts,
): Promise<void> {
  const known = checkpointOf(context);
  if (known === null) return;
  const { workspace } = ports;
  const environment: RestoreEnvironment = {
    ...restoreEnvironment(workspace, {
      signal: context.signal,
      onProgress: () => undefined,
      onVanishing: () => undefined,
    }),
    original: null,
    checkNode: (target) => refuseConfiguredNode(target, workspace, context.signal),
  };
  if ((await stateOf(known, ports)) !== null) {
    context.signal.throwIfAborted();
    await callOff(known, environment, context, ports);
  }
  context.signal.throwIfAborted();
  // One that is whole is not taken back: somebody may use it.
  if (known.whole === null) {
    await endLeftServer(known.restore, null, environment);
    await ports.secrets.forget(restoreRef(context.job.id));
  }
  await context.keep({ ...known, whole: null });
}

/** A server that was started here, and is not whole, is nobody's. Any other may be in use: it stays as it is. */
async function takeBackRestore(
  context: Omit<JobContext, 'progress'>,
  ports: HandlerPorts,
): Promise<void> {
  const { job, log } = context;
  const asked = job.request as unknown as RestoreJobRequest | GoOn;
  const known = checkpointOf(context);
  if (known === null || 'goOn' in asked) return;
  const elsewhere = `the job was ended elsewhere (${job.state})`;
  const at = `restore ${known.restore}, which began on this host`;
  if (asked.target.kind === 'new' && known.whole === null) {
    await cleanUpRestore(context, ports);
    log('info', `${elsewhere}: the server of ${at}, is taken away`);
  } else {
    const end = `tidemark servers end ${known.restore} --data delete --confirm ${known.restore}`;
    const way = asked.target.kind === 'new' ? `: it is whole; to end it: ${end}` : '';
    log('warn', `${elsewhere}: the target of ${at}, is left as it is${way}`);
  }
}

/** Empties the target; one that may not be written into any more is sent nothing, and what is left is said. */
async function callOff(
  { restore: id }: RestoreCheckpoint,
  environment: RestoreEnvironment,
  { job, log }: Pick<JobContext, 'job' | 'log'>,
  { workspace }: HandlerPorts,
): Promise<void> {
  const asked = job.request as unknown as RestoreJobRequest | GoOn;
  try {
    if (!('goOn' in asked) && asked.target.kind === 'address') {
      const { worker } = await loadConfig(workspace.config.path);
      await checkTarget(asked.target.url, worker.allowTargets);
    }
    const report = await abortRestore(job.instance, id, readSecret, environment);
    for (const warning of report.warnings) log('warn', warning);
    log('info', `restore ${id} is called off: nothing of it is left`);
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || cause.code !== 'TM_TARGET_DENIED') throw cause;
    const way = `tidemark restore --abort ${id}, or there: REPLICAOF NO ONE, FLUSHALL`;
    log('error', `the target was left as it is: ${cause.message}; call it off: ${way}`);
  }
}

/** The file with the password of the server that was started for a job; null: none was. */
async function passwordRefOf(job: string, { secrets }: HandlerPorts): Promise<string | null> {
  const name = restoreRef(job);
  return secrets.require(name).then(
    () => name,
    () => null,
  );
}

/** The number of a restore that goes on, or of the next one. */
function roundAfter(known: RestoreCheckpoint | null, state: 'running' | 'replayed' | null): number {
  return (known?.round ?? 0) + (state === null ? 1 : 0);
}

function lostRequest(restoreId: string): UsageError {
  return new UsageError(
    'TM_JOB_LOST',
    'what this job was asked for is lost, and its restore is over',
    {
      context: { restore: restoreId },
      hint: 'ask for it anew',
    },
  );
}

/** It was whole when its worker was killed: only the report is lost. */
function endedBefore(
  known: RestoreCheckpoint,
  target: string,
  passwordRef: string | null,
): JobOutcome {
  const note = 'its worker ended before it could report: the counts are lost, the data are whole';
  return {
    state: 'succeeded',
    result: { id: known.restore, state: 'succeeded', target, passwordRef, warnings: [note] },
  };
}

function checkpointOf(context: Pick<JobContext, 'checkpoint' | 'job'>): RestoreCheckpoint | null {
  const { checkpoint, job } = context;
  if (checkpoint !== null) return checkpoint as unknown as RestoreCheckpoint;
  const asked = job.request as unknown as RestoreJobRequest | GoOn;
  return 'goOn' in asked ? { restore: asked.goOn, round: 0, whole: null } : null;
}

async function stateOf(
  { restore: id }: RestoreCheckpoint,
  { workspace }: HandlerPorts,
): Promise<'running' | 'replayed' | null> {
  return restoreState(id, { stateDir: workspace.config.stateDir });
}

function notesOf({ log }: Pick<JobContext, 'log'>): { warn(message: string): void } {
  return { warn: (message) => log('warn', message) };
}
