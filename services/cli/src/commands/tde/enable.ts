import { enableTde } from '@tidemark/catalog';
import { TidemarkError, UsageError } from '@tidemark/core';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { typedConfirmation } from '../typed-confirmation.ts';
import { adminOfKey } from './choose-key.ts';
import { openTdeInstance } from './open-instance.ts';
import { printTde, TDE_ALGORITHM } from './show-tde.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
/** How long a refusal of the archiver is waited for when the backup itself is not. */
const START_TIMEOUT_MS = 400;

/** Flags of `tde enable`. */
export interface EnableFlags {
  readonly kmsKey?: string;
  readonly algorithm?: string;
  readonly confirm?: string;
  readonly wait: boolean;
}

/** Switches TDE of an instance on, for good; or goes on with what was begun. */
export async function enableCommand(
  id: string,
  flags: EnableFlags,
  invocation: Invocation,
): Promise<void> {
  if (flags.algorithm !== undefined && flags.algorithm !== TDE_ALGORITHM) {
    throw new UsageError('TM_USAGE', `TDE uses ${TDE_ALGORITHM} and nothing else`, {
      hint: 'AES-CTR-256 and its like leave changes of stored data unseen; leave --algorithm out',
    });
  }
  using workspace = await Workspace.open(invocation);
  const { signal } = invocation;
  const { keys, catalog } = workspace;
  const { log, ports, tde: before } = await openTdeInstance(id, workspace, invocation);
  if (!before.latched) {
    const what = `TDE of ${id} cannot be switched off again, and its backups open only in a restore`;
    await typedConfirmation(id, what, flags.confirm, { signal, undone: 'nothing was changed' });
  }
  const key = flags.kmsKey ?? null;
  const admin = key === null ? await keys.adminOf(keys.name) : await adminOfKey(key, keys);
  const tde = await enableTde(log, { iid: id, key, admin }, { ...ports, keys });
  if (tde.state === 'modifying') await tellArchiver(id, flags.wait, workspace, invocation);
  await workspace.sync(signal, id);
  const after = await openTdeInstance(id, workspace, invocation);
  printTde(id, after, catalog, invocation);
}

/** The archiver wraps with the new key from here on and makes the full backup that is missing. */
async function tellArchiver(
  id: string,
  wait: boolean,
  workspace: Workspace,
  { signal, printer }: Invocation,
): Promise<void> {
  printer.progress(`${id}: waiting for a full backup under the key`);
  const leave = new AbortController();
  const timer = wait ? null : setTimeout(() => leave.abort(), START_TIMEOUT_MS);
  const asked = { timeoutMs: BACKUP_TIMEOUT_MS, signal: AbortSignal.any([signal, leave.signal]) };
  try {
    if ((await workspace.askArchiver('rekey', id, asked)) !== null) return;
    printer.warn('no archiver runs here: TDE stays modifying until one does');
  } catch (cause) {
    if (signal.aborted || (!leave.signal.aborted && !(cause instanceof TidemarkError))) throw cause;
    if (leave.signal.aborted) return;
    const message = cause instanceof Error ? cause.message : String(cause);
    printer.warn(`the full backup is still to come, TDE stays modifying until then: ${message}`);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}

/** There is no way back. */
export function disableCommand(id: string): never {
  throw new TidemarkError('TM_TDE_CANNOT_BE_DISABLED', 'TDE cannot be switched off', {
    context: { instance: id },
    hint: `what it holds can be restored into a new instance: tidemark restore ${id} --at latest --to redis://HOST:PORT`,
  });
}
