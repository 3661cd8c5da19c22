import { askForKeyBackup, enableInstanceTde, TDE_ALGORITHM } from '@tidemark/control';
import { TidemarkError, UsageError } from '@tidemark/core';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { typedConfirmation } from '../typed-confirmation.ts';
import { openTdeInstance } from './open-instance.ts';
import { printTde } from './show-tde.ts';

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
  const before = await openTdeInstance(id, workspace, invocation);
  if (!before.tde.latched) {
    const what = `TDE of ${id} cannot be switched off again, and its backups open only in a restore`;
    await typedConfirmation(id, what, flags.confirm, { signal, undone: 'nothing was changed' });
  }
  const tde = await enableInstanceTde(before, flags.kmsKey ?? null, workspace);
  if (tde.state === 'modifying') await tellArchiver(id, flags.wait, workspace, invocation);
  await workspace.sync(signal, id);
  const after = await openTdeInstance(id, workspace, invocation);
  printTde(id, after, workspace.catalog, invocation);
}

/** The archiver wraps with the new key from here on and makes the full backup that is missing. */
async function tellArchiver(
  id: string,
  wait: boolean,
  workspace: Workspace,
  { signal, printer }: Invocation,
): Promise<void> {
  printer.progress(`${id}: waiting for a full backup under the key`);
  const backup = await askForKeyBackup(id, wait, workspace, signal);
  if (backup.outcome === 'no-archiver') {
    printer.warn('no archiver runs here: TDE stays modifying until one does');
  }
  if (backup.outcome === 'refused') {
    printer.warn(
      `the full backup is still to come, TDE stays modifying until then: ${backup.message}`,
    );
  }
}

/** There is no way back. */
export function disableCommand(id: string): never {
  throw new TidemarkError('TM_TDE_CANNOT_BE_DISABLED', 'TDE cannot be switched off', {
    context: { instance: id },
    hint: `what it holds can be restored into a new instance: tidemark restore ${id} --at latest --to redis://HOST:PORT`,
  });
}
