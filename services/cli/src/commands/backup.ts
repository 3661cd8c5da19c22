import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import {
  backupDocuments,
  checkLabels,
  holdBackup,
  knownInstance,
  labelBackup,
  type BackupDocument,
} from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';
import { cliActor } from './cli-actor.ts';
import { givenLabels, labelsText } from './label-flags.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
/** How long a refusal of the archiver is waited for when the backup itself is not. */
const START_TIMEOUT_MS = 400;

/** Flags of `backup create`. */
export interface CreateFlags {
  readonly wait?: boolean;
  readonly label: readonly string[];
  readonly hold?: boolean;
}

/** Flags of `backup list`. */
export interface ListFlags {
  readonly label: readonly string[];
  readonly state?: 'complete' | 'shredded' | 'deleted';
}

/**
 * Makes a backup: the archiver asks the node for a rewrite and ships its base. Once it is there it is
 * held and labelled.
 */
export async function createBackup(
  id: string,
  options: CreateFlags,
  invocation: Invocation,
): Promise<void> {
  const labels = givenLabels(options.label);
  checkLabels(labels);
  const isLabelled = options.label.length > 0;
  const isHeld = options.hold === true;
  using workspace = await Workspace.open(invocation);
  const socketPath = controlSocketPath(workspace.config.stateDir);
  const { signal, printer } = invocation;
  printer.progress(`${id}: the node rewrites its log`);
  const leave = new AbortController();
  const call = callArchiver(
    {
      socketPath,
      timeoutMs: BACKUP_TIMEOUT_MS,
      signal: AbortSignal.any([signal, leave.signal]),
    },
    'backup',
    id,
  );
  if (options.wait !== true && !isLabelled && !isHeld) {
    const timer = setTimeout(() => leave.abort(), START_TIMEOUT_MS);
    const done = await call.then(
      () => true,
      (cause: unknown) => {
        if (!leave.signal.aborted || signal.aborted) throw cause;
        return false;
      },
    );
    clearTimeout(timer);
    printer.result({ instance: id, state: done ? 'complete' : 'running' }, () => [
      `${id}: the backup is being made; it will stand in: tidemark backup list ${id}`,
    ]);
    return;
  }
  const { backup } = (await call) as { readonly backup: string };
  await workspace.sync(signal, id);
  const ports = { clock: systemClock, random: systemRandom, signal };
  if (isHeld) await holdBackup(backup, true, workspace, ports);
  if (isLabelled) {
    await labelBackup({ instance: id, backup }, labels, cliActor().name, workspace, ports);
  }
  if (isHeld || isLabelled) await workspace.sync(signal, id);
  const row = backupDocuments(workspace.catalog, id).find((known) => known.id === backup);
  printer.result(row ?? { id: backup }, () => [
    `${backup} is complete${isHeld ? ', and held' : ''}`,
  ]);
}

/** Lists the snapshots of an instance. */
export async function listBackups(
  id: string,
  { label, state }: ListFlags,
  invocation: Invocation,
): Promise<void> {
  const labels = Object.entries(givenLabels(label)).map(([key, value]) => ({ key, value }));
  using workspace = await Workspace.open(invocation);
  await workspace.sync(invocation.signal, id);
  knownInstance(workspace.catalog, id);
  const rows = backupDocuments(workspace.catalog, id, { state: state ?? null, labels });
  const isLabelled = rows.some((row) => Object.keys(row.labels).length > 0);
  invocation.printer.result({ instance: id, backups: rows }, () =>
    rows.length === 0
      ? [state === undefined && labels.length === 0 ? 'no backups yet' : 'no such backups']
      : table(
          [
            ...['BACKUP', 'MODE', 'TAKEN (UTC)', 'KEYS', 'RDB', 'STORED', 'OFFSET'],
            ...(isLabelled ? ['LABELS'] : []),
          ],
          rows.map((row) => [
            row.id,
            modeText(row),
            row.end,
            row.keys.toString(),
            formatBytes(row.rdbBytes),
            formatBytes(row.size),
            row.offset,
            ...(isLabelled ? [labelsText(row.labels)] : []),
          ]),
        ),
  );
}

function modeText({ mode, state, deleted }: BackupDocument): string {
  if (state === 'shredded') return `${mode} (key destroyed)`;
  return deleted === null ? mode : `${mode} (deleted by ${deleted.by})`;
}
