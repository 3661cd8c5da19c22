import type { Catalog, InstanceState } from '@tidemark/catalog';
import { CatalogError, UsageError } from '@tidemark/core';

/**
 * An instance that the store holds.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function knownInstance(catalog: Pick<Catalog, 'instance'>, id: string): InstanceState {
  try {
    return catalog.instance(id);
  } catch (cause) {
    if (!(cause instanceof CatalogError) || cause.code !== 'TM_NOT_FOUND') throw cause;
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is in the store`, {
      cause,
      hint: 'tidemark instance list',
    });
  }
}
