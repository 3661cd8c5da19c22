import type { Catalog, CatalogSnapshot, Tde } from '@tidemark/catalog';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';
import { openTdeInstance, type TdeInstance } from './open-instance.ts';

/** The one algorithm there is. */
export const TDE_ALGORITHM = 'AES-256-GCM';

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
  const { tde: logged, originalRestore, keys } = log.state;
  const backups = countBackups(tde, catalog.snapshots(id));
  const document = {
    instance: id,
    state,
    enabled: state === 'enabled',
    algorithm: TDE_ALGORITHM,
    provider: key?.provider ?? null,
    keyId: key?.keyId ?? null,
    mode: key === null ? null : auto ? 'auto' : 'custom',
    since: iso(tde.sinceMs),
    latchedAt: iso(logged?.latchedMs ?? null),
    enabledAt: iso(tde.enabledMs),
    backup: tde.backup,
    backups,
    allowOriginalRestore: originalRestore,
    keys,
    latch: witnesses,
    missing: missingOf(tde),
  };
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
    `restore into the original: ${originalRestore ? 'allowed' : state === 'disabled' ? 'allowed (no TDE)' : 'not allowed'}`,
    ...(document.missing === null ? [] : [`missing: ${document.missing}`]),
  ]);
}

/** What stands between `modifying` and `enabled`. */
function missingOf({ state, latched, iid }: Tde): string | null {
  if (state !== 'modifying') return null;
  return latched
    ? 'a full backup under the key: the archiver makes it when it runs'
    : `the key was not proven yet: tidemark tde enable ${iid}`;
}

/** Nothing is ever stored in the clear, before TDE or after: the counts differ in the key. */
function countBackups(
  tde: Tde,
  snapshots: readonly CatalogSnapshot[],
): { readonly total: number; readonly sealedUnderTde: number; readonly plain: 0 } {
  const first = snapshots.find(({ backup }) => backup === tde.backup);
  const fromMs = first?.startedMs ?? tde.enabledMs ?? Infinity;
  const sealedUnderTde = snapshots.filter(({ startedMs }) => startedMs >= fromMs).length;
  return { total: snapshots.length, sealedUnderTde, plain: 0 };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
