import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import type { CatalogSnapshot } from '@tidemark/catalog';
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
const BEFORE_MAX = 256;

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
  /** The newest backups that were there before; null: it was called off, and one may still be under way. */
  readonly before: readonly string[] | null;
  /** When the newest of them was begun; those from before are not listed, and are not the one of this job. */
  readonly sinceMs?: number;
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
  const before = known?.before == null ? backupsOf(instance, ports) : { ...known };
  if (known?.before == null) await context.keep({ ...before });
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
  before: BackupCheckpoint,
  instance: string,
  ports: HandlerPorts,
  signal: AbortSignal,
): Promise<string | null> {
  const { catalog } = ports.workspace;
  await ports.workspace.sync(signal, instance);
  return newBackup(before, catalog.snapshots(instance));
}

function backupsOf(instance: string, { workspace }: HandlerPorts): BackupCheckpoint {
  return newestBackups(workspace.catalog.snapshots(instance));
}

type BegunBackup = Pick<CatalogSnapshot, 'backup' | 'startedMs'>;

/** What is kept of the backups that are there: the newest 256, and when the newest was begun. */
export function newestBackups(
  snapshots: readonly BegunBackup[],
): Required<BackupCheckpoint> & { readonly before: readonly string[] } {
  const newest = [...snapshots].sort((a, b) => b.startedMs - a.startedMs);
  return {
    before: newest.slice(0, BEFORE_MAX).map(({ backup }) => backup),
    sinceMs: newest[0]?.startedMs ?? 0,
  };
}

/**
 * The first backup that was begun since; null = none. Older ones than those that are listed are none: a
 * list that is cut says nothing of them.
 */
export function newBackup(
  { before, sinceMs }: BackupCheckpoint,
  snapshots: readonly BegunBackup[],
): string | null {
  const known = new Set(before);
  // A checkpoint of an earlier version tells by its names alone since when.
  const times = snapshots.filter(({ backup }) => known.has(backup)).map((one) => one.startedMs);
  const fromMs = sinceMs ?? times.reduce((most, each) => Math.max(most, each), 0);
  const made = snapshots.filter(
    ({ backup, startedMs }) => startedMs >= fromMs && !known.has(backup),
  );
  const [first] = made.sort((a, b) => a.startedMs - b.startedMs);
  return first?.backup ?? null;
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
