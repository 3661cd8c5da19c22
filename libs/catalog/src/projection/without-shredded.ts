import type { InstanceState } from '../model/instance-state.ts';
import type { CatalogSnapshot } from './rows.ts';

/** What of an instance tells which of its snapshots nobody can open any more. */
export type Shredded = Pick<InstanceState, 'shredded'>;

/** The snapshots whose data keys were not destroyed on purpose. */
export function withoutShredded(
  snapshots: readonly CatalogSnapshot[],
  { shredded }: Shredded,
): readonly CatalogSnapshot[] {
  const { instanceMs, dekIds } = shredded;
  if (instanceMs === null && dekIds.length === 0) return snapshots;
  const gone = new Set(dekIds);
  return snapshots.filter(
    ({ object, endedMs }) =>
      !gone.has(object.dekId) && (instanceMs === null || endedMs > instanceMs),
  );
}
