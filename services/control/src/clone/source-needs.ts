import { connectNode } from '@tidemark/client';
import { TidemarkError } from '@tidemark/core';
import { readFactsAt } from '@tidemark/restorer';
import { configuredAddress, loadConfig, type Workspace } from '@tidemark/workspace';
import { isOpenTo } from './open-source.ts';

/** A node that is there answers in less. */
const ANSWER_MS = 5_000;

/** What a server needs so that the data of an instance fit into it. */
export interface SourceNeeds {
  /** The largest of what the source used at its last backup, what it uses now, and its limit; 0: not known. */
  readonly memoryBytes: number;
  /** The limit of the source; 0: none. */
  readonly maxmemory: number;
  readonly databases: number;
  /** Whether the users of its node are stored. */
  readonly hasUsers: boolean;
  readonly hasParams: boolean;
  /** Whether its default user needs no password, as far as users are stored. */
  readonly isOpen: boolean;
}

/** Looks into the catalog and the stored facts of the node, and asks it what it uses, if it is there. */
export async function sourceNeeds(
  instance: string,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<SourceNeeds> {
  const { store, keys, catalog } = workspace;
  const facts = await readFactsAt(instance, null, { store, keys, catalog, signal }).then(
    (opened) => opened.facts,
    (cause: unknown) => {
      if (cause instanceof TidemarkError && cause.code === 'TM_NOT_FOUND') return null;
      throw cause;
    },
  );
  const maxmemory = Number(facts?.config?.['maxmemory'] ?? 0);
  return {
    memoryBytes: Math.max(maxmemory, await usedBytes(instance, workspace, signal)),
    maxmemory,
    databases: Number(facts?.config?.['databases'] ?? 16),
    hasUsers: facts?.acl != null,
    hasParams: facts?.config != null,
    isOpen: isOpenTo(facts?.acl ?? []),
  };
}

/** The memory that an instance used at its last backup, or uses now where that is more; 0: not known. */
export async function usedBytes(
  instance: string,
  { catalog, config }: Pick<Workspace, 'catalog' | 'config'>,
  signal: AbortSignal,
): Promise<number> {
  const { summary } = catalog.snapshots(instance).at(-1) ?? {};
  return Math.max(Number(summary?.aux['used-mem'] ?? 0), await usedNow(instance, config, signal));
}

/** 0 where no node is configured here, or it does not answer: data may be wanted because it is gone. */
async function usedNow(
  instance: string,
  { path }: Workspace['config'],
  signal: AbortSignal,
): Promise<number> {
  const node = await configuredAddress(instance, await loadConfig(path));
  if (node === null || node === 'unknown') return 0;
  const options = { name: 'tidemark-clone', timeoutMs: ANSWER_MS, replyTimeoutMs: ANSWER_MS };
  try {
    await using client = await connectNode(node, { ...options, signal });
    return (await client.info('memory')).number('used_memory', 0);
  } catch (cause) {
    if (cause instanceof TidemarkError) return 0;
    throw cause;
  }
}
