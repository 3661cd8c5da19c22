import { openInstanceLog } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import { refuseCaptured, shredKeys } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { eraseSpool, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { typedConfirmation } from './typed-confirmation.ts';

/** Flags of `repo shred`. */
export interface ShredFlags {
  readonly backup?: string;
  readonly confirm?: string;
}

/** Destroys the data keys of a backup, or of a whole instance. */
export async function shredCommand(
  id: string,
  flags: ShredFlags,
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { signal, printer } = invocation;
  const { store, keys, catalog } = workspace;
  await workspace.sync(signal, id);
  const dekIds = keysToShred(id, flags.backup, workspace);
  if (dekIds === null) refuseCaptured(id, catalog.writers(id), systemClock.nowMs());
  const all = flags.backup === undefined;
  const doom = `${all ? `everything of ${id}` : `backup ${flags.backup}`} will be unreadable for ever`;
  await typedConfirmation(id, doom, flags.confirm, { signal, undone: 'nothing was destroyed' });
  const logKey = await keys.logKey(id);
  const ports = { store, clock: systemClock, random: systemRandom, signal };
  const log = await openInstanceLog({ ...ports, iid: id, logKey, keyProven: true });
  const report = await shredKeys({
    ...{ instance: id, dekIds, log, store, clock: systemClock, signal },
    onProgress: (removed) => printer.progress(`${removed.toString()} key objects destroyed`),
  });
  if (all) await eraseSpool(id, workspace.config.stateDir);
  await workspace.sync(signal, id);
  const what =
    flags.backup === undefined ? `every data key of ${id}` : `the key of ${flags.backup}`;
  printer.result({ instance: id, backup: flags.backup ?? null, ...report }, () => [
    `${what} is destroyed: ${report.removed.toString()} key objects removed` +
      (report.versioned ? ', every version of them counted' : ''),
    ...(report.again ? ['the log said so before'] : []),
    'Not reached from here: copies of the store (repo copy, backups of its disk), the spool of an archiver',
    'on another host, and what was restored or downloaded as a plain RDB.',
    ...(all ? [] : ['What the log and other backups hold of the same time stays restorable.']),
  ]);
}

/** @returns null = all. */
function keysToShred(
  id: string,
  backup: string | undefined,
  { catalog }: Workspace,
): readonly string[] | null {
  if (!catalog.instances().some(({ iid }) => iid === id)) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  if (backup === undefined) return null;
  const found = catalog.snapshots(id).filter((one) => one.backup === backup);
  if (found.length > 0) return [...new Set(found.map(({ object }) => object.dekId))];
  throw new UsageError('TM_NOT_FOUND', `there is no backup ${backup}`, {
    hint: `tidemark backup list ${id}`,
  });
}
