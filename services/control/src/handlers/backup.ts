import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import { TidemarkError } from '@tidemark/core';
import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { checked } from './request-parts.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
/** How often it is looked whether a backup that an earlier attempt asked for is there. */
const LOOK_MS = 500;

const validator = Compile({
  type: 'object',
  additionalProperties: false,
  properties: { mode: { enum: ['manual', 'automated'] } },
} as const);

/** What an attempt leaves for the next one. */
interface BackupCheckpoint {
  /** Backups that were there before. */
  readonly before: readonly string[];
}

/** Has the archiver make a backup: the node rewrites its log, and its base is shipped. */
export function backupHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'backup',
    check: ({ instance, request }) => {
      const { mode = 'manual' } = checked<{ mode?: 'manual' | 'automated' }>(
        validator,
        request ?? {},
      );
      knownInstance(ports.workspace.catalog, instance);
      return { mode };
    },
    exclusive: ({ instance }) => `backup:${instance}`,
    run: (context) => runBackup(context, ports),
    cleanUp: (context) => {
      if (context.checkpoint !== null) {
        context.log('info', 'what the node has begun goes on: a backup may still appear');
      }
      return context.keep(null);
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
  if (known === null) await context.keep({ before });
  const deadlineMs = clock.monotonicMs() + BACKUP_TIMEOUT_MS;
  for (;;) {
    const made = known === null ? null : await madeSince(before, instance, ports, signal);
    if (made !== null) return outcomeOf(made, instance, ports);
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
        job.request as { readonly mode: 'manual' | 'automated' },
      )) as { readonly backup: string };
      context.progress({ phase: 'read', percent: 95 });
      await workspace.sync(signal, instance);
      return outcomeOf(backup, instance, ports);
    } catch (cause) {
      // The one that an earlier attempt of this job asked for is under way.
      const isOwn = known !== null && cause instanceof TidemarkError && cause.code === 'TM_BUSY';
      if (!isOwn || clock.monotonicMs() > deadlineMs) throw cause;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      signal.throwIfAborted();
    }
  }
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

function outcomeOf(backup: string, instance: string, { workspace }: HandlerPorts): JobOutcome {
  const row = workspace.catalog.snapshots(instance).find((one) => one.backup === backup);
  const facts: Json =
    row === undefined
      ? {}
      : { keys: row.summary.keys, rdbBytes: row.rdbBytes, storedBytes: row.object.size };
  return { state: 'succeeded', result: { backup, ...(facts as object) } };
}
