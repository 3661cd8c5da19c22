import { UsageError, type Clock } from '@tidemark/core';
import { findBackup } from '@tidemark/restorer';
import { presignGet } from '@tidemark/store';
import { formatSecond, type Workspace } from '@tidemark/workspace';

/** Links to the sealed backup, one for each shard, as `backup download --url` and the API give them. */
export interface DownloadLinks {
  readonly instance: string;
  readonly backup: string;
  readonly form: 'sealed';
  /** RFC 3339 UTC: at most, and no longer than the credentials that signed them. */
  readonly expires: string;
  readonly links: readonly {
    readonly shard: string;
    readonly bytes: number;
    readonly url: string;
  }[];
}

/**
 * Makes links to a backup that are good for so long. The catalog is up to date.
 * @throws UsageError `TM_NOT_FOUND`, `TM_USAGE` for a store that gives none; StoreError.
 */
export async function downloadLinks(
  name: { readonly instance: string; readonly backup: string },
  seconds: number,
  { store, keys, catalog, config }: Workspace,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<DownloadLinks> {
  const found = await findBackup(name, { store, keys, catalog, signal, stateDir: config.stateDir });
  const links: { readonly shard: string; readonly bytes: number; readonly url: string }[] = [];
  for (const { object } of found.snapshots) {
    // What is in a log entry has no address of its own; backups are objects of their own.
    const url = object.key === null ? null : await presignGet(store, object.key, seconds);
    if (url === null) {
      throw new UsageError('TM_USAGE', `the store ${store.url} gives no links`, {
        hint: `it is no S3 store: tidemark backup download ${name.instance} ${name.backup} -o FILE`,
      });
    }
    links.push({ shard: object.shard, bytes: object.size, url });
  }
  const expires = formatSecond(Math.floor(clock.nowMs() / 1000) + seconds);
  return { ...name, form: 'sealed', expires, links };
}
