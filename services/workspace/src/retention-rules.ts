import type { RetentionRules } from '@tidemark/archiver';
import { SHARE_MAX, type Catalog } from '@tidemark/catalog';
import type { Config } from './config/load.ts';

/** How much is kept, as the configuration says. An instance with a policy of its own has that. */
export function retentionRules({ policy, graceMs }: Config): RetentionRules {
  const { retainSeconds, keepLast } = policy.policy;
  return { retainSeconds, keepLast, graceMs, shareMax: SHARE_MAX };
}

/** An undo pack is good for a day at least, however short the history that is kept. */
const UNDO_RETAIN_MS_MIN = 86_400_000;

/**
 * How long undo packs of an instance are kept, in milliseconds: as long as its history, by its own policy
 * where it has one, and a day at least. The catalog is up to date.
 */
export function undoRetainMs(
  instance: string,
  {
    catalog,
    config,
  }: {
    readonly catalog: Pick<Catalog, 'instances'>;
    readonly config: Pick<Config, 'retainMs'>;
  },
): number {
  const own = catalog.instances().find(({ iid }) => iid === instance)?.policy;
  const retainMs = own == null ? config.retainMs : own.retainSeconds * 1000;
  return Math.max(retainMs, UNDO_RETAIN_MS_MIN);
}
