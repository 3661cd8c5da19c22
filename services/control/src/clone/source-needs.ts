import { TidemarkError } from '@tidemark/core';
import { readFactsAt } from '@tidemark/restorer';
import type { Workspace } from '@tidemark/workspace';

/** What a server needs so that the data of an instance fit into it. */
export interface SourceNeeds {
  /** The larger of what the source used at its last backups and of its limit; 0: not known. */
  readonly memoryBytes: number;
  /** The limit of the source; 0: none. */
  readonly maxmemory: number;
  readonly databases: number;
  /** Whether the users of its node are stored. */
  readonly hasUsers: boolean;
  readonly hasParams: boolean;
}

/** Looks into the catalog and the stored facts of the node. */
export async function sourceNeeds(
  instance: string,
  { store, keys, catalog }: Workspace,
  signal: AbortSignal,
): Promise<SourceNeeds> {
  const usage = catalog
    .snapshots(instance)
    .map(({ summary }) => Number(summary.aux['used-mem'] ?? 0));
  const facts = await readFactsAt(instance, null, { store, keys, catalog, signal }).then(
    (opened) => opened.facts,
    (cause: unknown) => {
      if (cause instanceof TidemarkError && cause.code === 'TM_NOT_FOUND') return null;
      throw cause;
    },
  );
  const maxmemory = Number(facts?.config?.['maxmemory'] ?? 0);
  return {
    memoryBytes: Math.max(maxmemory, usage.at(-1) ?? 0),
    maxmemory,
    databases: Number(facts?.config?.['databases'] ?? 16),
    hasUsers: facts?.acl != null,
    hasParams: facts?.config != null,
  };
}
