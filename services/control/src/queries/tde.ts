import type { Catalog, CatalogSnapshot, InstanceKey, Tde } from '@tidemark/catalog';
import { formatSecond } from '@tidemark/workspace';
import type { TdeInstance } from './open-tde.ts';

/** The one algorithm there is. */
export const TDE_ALGORITHM = 'AES-256-GCM';

/** TDE of an instance as `tde status` and the API show it. Times RFC 3339 UTC. */
export interface TdeDocument {
  readonly instance: string;
  readonly state: Tde['state'];
  readonly enabled: boolean;
  readonly algorithm: typeof TDE_ALGORITHM;
  readonly provider: string | null;
  readonly keyId: string | null;
  readonly mode: 'auto' | 'custom' | null;
  readonly since: string | null;
  readonly latchedAt: string | null;
  readonly enabledAt: string | null;
  /** The first full backup under the key. */
  readonly backup: string | null;
  /** Nothing is ever stored in the clear, before TDE or after: the counts differ in the key. */
  readonly backups: {
    readonly total: number;
    readonly sealedUnderTde: number;
    readonly plain: 0;
  };
  readonly allowOriginalRestore: boolean;
  readonly keys: readonly InstanceKey[];
  readonly latch: Tde['witnesses'];
  /** What stands between `modifying` and `enabled`. */
  readonly missing: string | null;
}

/** The state of TDE. The catalog is up to date. */
export function tdeDocument(
  id: string,
  { tde, log }: Pick<TdeInstance, 'tde' | 'log'>,
  catalog: Pick<Catalog, 'snapshots'>,
): TdeDocument {
  const { state, key, auto, witnesses } = tde;
  const { tde: logged, originalRestore, keys } = log.state;
  return {
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
    backups: countBackups(tde, catalog.snapshots(id)),
    allowOriginalRestore: originalRestore,
    keys,
    latch: witnesses,
    missing: missingOf(tde),
  };
}

function missingOf({ state, latched, iid }: Tde): string | null {
  if (state !== 'modifying') return null;
  return latched
    ? 'a full backup under the key: the archiver makes it when it runs'
    : `the key was not proven yet: tidemark tde enable ${iid}`;
}

function countBackups(tde: Tde, snapshots: readonly CatalogSnapshot[]): TdeDocument['backups'] {
  const first = snapshots.find(({ backup }) => backup === tde.backup);
  const fromMs = first?.startedMs ?? tde.enabledMs ?? Infinity;
  const sealedUnderTde = snapshots.filter(({ startedMs }) => startedMs >= fromMs).length;
  return { total: snapshots.length, sealedUnderTde, plain: 0 };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : formatSecond(Math.floor(ms / 1000));
}
