import type { Catalog } from '@tidemark/catalog';
import { connectNode, readNodeFacts } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import {
  describeEntry,
  instanceTarget,
  locateNode,
  type Config,
  type InstanceEntry,
} from '@tidemark/workspace';

/** An instance as `instance list` and the API show it. */
export interface InstanceRow {
  readonly id: string;
  /** Where its node is; null for one that only the store knows. */
  readonly url: string | null;
  readonly source: 'aof' | 'psync' | null;
  readonly aofDir: string | null;
  /** Whether the configuration of this host has it. */
  readonly configured: boolean;
}

/** The node of an instance as it is now. */
export interface NodeDocument {
  readonly product: string;
  readonly version: string;
  readonly role: string;
  readonly databases: number | null;
}

/** Instances of the configuration, then those that only the store knows. The catalog is up to date. */
export function instanceRows(
  catalog: Pick<Catalog, 'instances'>,
  { instances: configured }: Pick<Config, 'instances'>,
): readonly InstanceRow[] {
  const stored = catalog.instances().map(({ iid }) => iid ?? '');
  return [
    ...configured.map(({ id, url, source = 'aof', aof_dir: aofDir = null }) => {
      return { id, url: describeEntry(url), source, aofDir, configured: true };
    }),
    ...stored
      .filter((iid) => !configured.some(({ id }) => id === iid))
      .map((id) => ({ id, url: null, source: null, aofDir: null, configured: false })),
  ];
}

/**
 * The entry of an instance in the configuration.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function configuredEntry(id: string, config: Pick<Config, 'instances'>): InstanceEntry {
  const entry = config.instances.find((known) => known.id === id);
  if (entry !== undefined) return entry;
  throw new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`, {
    hint: 'tidemark instance list',
  });
}

/**
 * Asks the configured node of an instance what it is.
 * @returns The settings that were read, too: null where the user may not.
 * @throws UsageError `TM_NOT_FOUND`; NodeError.
 */
export async function nodeDocument(
  entry: InstanceEntry,
  configPath: string,
  signal: AbortSignal,
): Promise<{
  readonly node: NodeDocument;
  readonly aofDir: string | null;
  readonly settings: Readonly<Record<string, string>> | null;
}> {
  const target = await instanceTarget(entry, configPath);
  await using client = await connectNode(await locateNode(target, signal), { signal });
  const { product, version, role, databases, config } = await readNodeFacts(client);
  return {
    node: { product, version, role, databases },
    aofDir: target.aofDir ?? null,
    settings: config,
  };
}
