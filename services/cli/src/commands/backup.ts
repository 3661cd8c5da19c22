import { UsageError } from '@tidemark/core';
import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import { withoutShredded } from '@tidemark/catalog';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';
import { formatSecond } from '../time.ts';

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
  const row = backups(workspace, id).find((known) => known.id === backup);
  printer.result(row ?? { id: backup }, () => [`${backup} is complete`]);
}

/** Lists the snapshots of an instance. */
export async function listBackups(id: string, invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  await workspace.sync(invocation.signal, id);
  if (!workspace.catalog.instances().some(({ iid }) => iid === id)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const rows = backups(workspace, id);
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

interface BackupRow {
  readonly id: string;
  /** `shredded`: its data key was destroyed; it cannot be read any more. */
  readonly state: 'complete' | 'shredded';
  readonly mode: string;
  readonly shard: string;
  readonly size: number;
  readonly rdbBytes: number;
  readonly keys: number;
  readonly start: string;
  readonly end: string;
  readonly from: string;
  readonly timeline: string;
  readonly offset: string;
}

function backups(workspace: Workspace, id: string): BackupRow[] {
  const stored = workspace.catalog.snapshots(id);
  const readable = new Set(withoutShredded(stored, workspace.catalog.instance(id)));
  return stored.map((snapshot) => ({
    id: snapshot.backup,
    state: readable.has(snapshot) ? 'complete' : 'shredded',
    mode: snapshot.mode,
    shard: snapshot.object.shard,
    size: snapshot.object.size,
    rdbBytes: snapshot.rdbBytes,
    keys: snapshot.summary.keys,
    start: formatSecond(Math.floor(snapshot.startedMs / 1000)),
    end: formatSecond(Math.floor(snapshot.endedMs / 1000)),
    from: formatSecond(snapshot.from),
    timeline: snapshot.timeline,
    offset: snapshot.offset.toString(),
  }));
}
