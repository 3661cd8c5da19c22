import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import { TidemarkError } from '@tidemark/core';
import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { checkLabels, labelBackup } from '../queries/backup-labels.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { checked } from './request-parts.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
/** How often it is looked whether a backup that an earlier attempt asked for is there. */
const LOOK_MS = 500;

const validator = Compile({
  type: 'object',
  additionalProperties: false,
  properties: {
    mode: { enum: ['manual', 'automated'] },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
  },
} as const);

interface BackupInput {
  readonly mode: 'manual' | 'automated';
  readonly labels?: Readonly<Record<string, string>>;
}

/** What an attempt leaves for the next one. */
interface BackupCheckpoint {
  /** Backups that were there before; null: it was called off, and one may still be under way. */
  readonly before: readonly string[] | null;
}

/** Has the archiver make a backup: the node rewrites its log, and its base is shipped. */
export function backupHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'backup',
    check: ({ instance, request }) => {
      const { mode = 'manual', labels } = checked<Partial<BackupInput>>(validator, request ?? {});
      if (labels !== undefined) checkLabels(labels);
      knownInstance(ports.workspace.catalog, instance);
      return { mode, ...(labels !== undefined && { labels }) };
    },
    exclusive: ({ instance }) => `backup:${instance}`,
    run: (context) => runBackup(context, ports),
    cleanUp: (context) => {
      if (context.checkpoint === null) return Promise.resolve();
      context.log('info', 'what the node has begun goes on: a backup may still appear');
      return context.keep({ before: null });
    },
  };
}

async function runBackup(context: JobContext, ports: HandlerPorts): Promise<JobOutcome> {
  const { job, signal } = context;
  const { workspace, clock } = ports;
  const { instance } = job;
  context.progress({ phase: 'ask', percent: 0 });
  await workspace.sync(signal, instance);
  const known = context.checkpoint as unknown as BackupCheckpoint | null;
  const before = known?.before ?? backupsOf(instance, ports);
  if (known?.before == null) await context.keep({ before });
  const deadlineMs = clock.monotonicMs() + BACKUP_TIMEOUT_MS;
  for (;;) {
    const made = known === null ? null : await madeSince(before, instance, ports, signal);
    if (made !== null) return labelled(made, context, ports);
    try {
      context.progress({ phase: 'rewrite', percent: 10 });
      const { backup } = (await callArchiver(
        {
          socketPath: controlSocketPath(workspace.config.stateDir),
          timeoutMs: BACKUP_TIMEOUT_MS,
          signal,
        },
        'backup',
        instance,
        { mode: (job.request as unknown as BackupInput).mode },
      )) as { readonly backup: string };
      context.progress({ phase: 'read', percent: 95 });
      await workspace.sync(signal, instance);
      return await labelled(backup, context, ports);
    } catch (cause) {
      // The one that an earlier attempt of this job asked for is under way.
      const isOwn = known !== null && cause instanceof TidemarkError && cause.code === 'TM_BUSY';
      if (!isOwn || clock.monotonicMs() > deadlineMs) throw cause;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      signal.throwIfAborted();
    }
  }
}

/** A backup that is there is labelled, and told. */
async function labelled(
  backup: string,
  { job, signal }: JobContext,
  { workspace, clock, random }: HandlerPorts,
): Promise<JobOutcome> {
  const { instance, actor } = job;
  const { labels = {} } = job.request as unknown as BackupInput;
  if (Object.keys(labels).length > 0) {
    const change = { clock, random, signal };
    await labelBackup({ instance, backup }, labels, actor.name, workspace, change);
  }
  return outcomeOf(backup, instance, workspace);
}

async function madeSince(
  before: readonly string[],
  instance: string,
  ports: HandlerPorts,
  signal: AbortSignal,
): Promise<string | null> {
  await ports.workspace.sync(signal, instance);
  return backupsOf(instance, ports).find((backup) => !before.includes(backup)) ?? null;
}

function backupsOf(instance: string, { workspace }: HandlerPorts): readonly string[] {
  return workspace.catalog
    .snapshots(instance)
    .slice(-256)
    .map(({ backup }) => backup);
}

function outcomeOf(
  backup: string,
  instance: string,
  { catalog }: HandlerPorts['workspace'],
): JobOutcome {
  const row = catalog.snapshots(instance).find((one) => one.backup === backup);
  const facts: Json =
    row === undefined
      ? {}
      : { keys: row.summary.keys, rdbBytes: row.rdbBytes, storedBytes: row.object.size };
  return { state: 'succeeded', result: { backup, ...(facts as object) } };
}
