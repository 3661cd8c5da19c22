import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import { backupDocuments, knownInstance } from '@tidemark/control';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
/** How long a refusal of the archiver is waited for when the backup itself is not. */
const START_TIMEOUT_MS = 400;

/** Makes a backup: the archiver asks the node for a rewrite and ships its base. */
export async function createBackup(
  id: string,
  options: { readonly wait: boolean },
  invocation: Invocation,
): Promise<void> {
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
  if (!options.wait) {
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
  const row = backupDocuments(workspace.catalog, id).find((known) => known.id === backup);
  printer.result(row ?? { id: backup }, () => [`${backup} is complete`]);
}

/** Lists the snapshots of an instance. */
export async function listBackups(id: string, invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  await workspace.sync(invocation.signal, id);
  knownInstance(workspace.catalog, id);
  const rows = backupDocuments(workspace.catalog, id);
  invocation.printer.result({ instance: id, backups: rows }, () =>
    rows.length === 0
      ? ['no backups yet']
      : table(
          ['BACKUP', 'MODE', 'TAKEN (UTC)', 'KEYS', 'RDB', 'STORED', 'OFFSET'],
          rows.map((row) => [
            row.id,
            row.state === 'complete' ? row.mode : `${row.mode} (key destroyed)`,
            row.end,
            row.keys.toString(),
            formatBytes(row.rdbBytes),
            formatBytes(row.size),
            row.offset,
          ]),
        ),
  );
}
