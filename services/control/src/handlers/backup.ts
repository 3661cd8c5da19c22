import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { checkLabels, labelBackup } from '../queries/backup-labels.ts';
import { holdBackup } from '../queries/hold-backup.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { makeBackup, newestBackups, type BackupsBefore } from './make-backup.ts';
import { checked } from './request-parts.ts';

const validator = Compile({
  type: 'object',
  additionalProperties: false,
  properties: {
    mode: { enum: ['manual', 'automated'] },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    hold: { type: 'boolean' },
  },
} as const);

interface BackupInput {
  readonly mode: 'manual' | 'automated';
  readonly labels?: Readonly<Record<string, string>>;
  readonly hold?: boolean;
}

/** What an attempt leaves for the next one; `before` is null: it was called off, and one may still be under way. */
type BackupCheckpoint = BackupsBefore | { readonly before: null };

/** Has the archiver make a backup: the node rewrites its log, and its base is shipped. */
export function backupHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'backup',
    check: ({ instance, request }) => {
      const asked = checked<Partial<BackupInput>>(validator, request ?? {});
      const { mode = 'manual', labels, hold = false } = asked;
      if (labels !== undefined) checkLabels(labels);
      knownInstance(ports.workspace.catalog, instance);
      return { mode, ...(labels !== undefined && { labels }), ...(hold && { hold }) };
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
  const { workspace } = ports;
  context.progress({ phase: 'ask', percent: 0 });
  await workspace.sync(signal, job.instance);
  const known = context.checkpoint as unknown as BackupCheckpoint | null;
  let before: BackupsBefore;
  if (known?.before == null) {
    before = newestBackups(workspace.catalog.snapshots(job.instance));
    await context.keep({ ...before });
  } else {
    before = known;
  }
  const backup = await makeBackup(context, ports, { before, asked: known !== null });
  context.progress({ phase: 'read', percent: 95 });
  await workspace.sync(signal, job.instance);
  return labelled(backup, context, ports);
}

/** A backup that is there is held and labelled, and told. */
async function labelled(
  backup: string,
  { job, signal }: JobContext,
  { workspace, clock, random }: HandlerPorts,
): Promise<JobOutcome> {
  const { instance, actor } = job;
  const { labels = {}, hold = false } = job.request as unknown as BackupInput;
  const change = { clock, random, signal };
  if (hold) await holdBackup(backup, true, workspace, change);
  if (Object.keys(labels).length > 0) {
    await labelBackup({ instance, backup }, labels, actor.name, workspace, change);
  }
  return outcomeOf(backup, instance, workspace);
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
