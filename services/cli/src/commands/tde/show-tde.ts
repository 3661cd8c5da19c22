import type { Catalog } from '@tidemark/catalog';
import { TDE_ALGORITHM, tdeDocument, type TdeInstance } from '@tidemark/control';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { openTdeInstance } from './open-instance.ts';

/** Says whether TDE of an instance is on, with which key, and what each of the three places says. */
export async function showTde(id: string, invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const instance = await openTdeInstance(id, workspace, invocation);
  printTde(id, instance, workspace.catalog, invocation);
}

/** Prints the state of TDE. The catalog is up to date. */
export function printTde(
  id: string,
  { tde, log }: Pick<TdeInstance, 'tde' | 'log'>,
  catalog: Catalog,
  { printer }: Invocation,
): void {
  const { state, latched, key, auto, witnesses } = tde;
  const document = tdeDocument(id, { tde, log }, catalog);
  const { backups, allowOriginalRestore } = document;
  for (const [place, word] of Object.entries(witnesses)) {
    if (word === 'damaged')
      printer.warn(`what the ${place} says of TDE is damaged: it counts as on`);
  }
  printer.result(document, () => [
    `${id}: TDE is ${state}${latched ? ', for good' : ''} (${TDE_ALGORITHM})`,
    ...(key === null
      ? ['every object is sealed all the same; TDE adds what docs/tde.md says']
      : [
          `key: ${key.provider} ${key.keyId} (${auto ? 'made for this instance' : 'custom'})`,
          `since: ${document.since ?? '-'}; full backup under it: ${tde.backup ?? 'none yet'}`,
        ]),
    `backups: ${backups.total.toString()}, ${backups.sealedUnderTde.toString()} of them since TDE is enabled; none is plain`,
    `latch: log ${witnesses.log}, marker ${witnesses.marker}, archiver ${witnesses.archiver}`,
    `restore into the original: ${allowOriginalRestore ? 'allowed' : state === 'disabled' ? 'allowed (no TDE)' : 'not allowed'}`,
    ...(document.missing === null ? [] : [`missing: ${document.missing}`]),
  ]);
}
