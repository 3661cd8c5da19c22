import type { Catalog, InstanceState } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';

/**
 * An instance that the store holds.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function knownInstance(catalog: Pick<Catalog, 'instances'>, id: string): InstanceState {
  const known = catalog.instances().find(({ iid }) => iid === id);
  if (known !== undefined) return known;
  throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
    hint: 'tidemark instance list',
  });
}
