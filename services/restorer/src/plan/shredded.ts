import type { CatalogSnapshot } from '@tidemark/catalog';
import { KeyError } from '@tidemark/core';
import type { PlanRequest } from './make-plan.ts';
import type { PlannedCut } from './restore-plan.ts';

/** Snapshots of an instance, and those of them whose keys were not destroyed. */
interface Snapshots {
  readonly stored: readonly CatalogSnapshot[];
  readonly known: readonly CatalogSnapshot[];
}

/**
 * Refuses a plan that only a snapshot could serve whose key was destroyed.
 * @param cut - Where the plan stops, once it is known.
 * @throws KeyError `TM_KEY_SHREDDED`.
 */
export function refuseShredded(
  { instance, point }: Pick<PlanRequest, 'instance' | 'point'>,
  { stored, known }: Snapshots,
  cut?: PlannedCut,
): void {
  if (stored.length === known.length) return;
  const serves = (one: CatalogSnapshot): boolean =>
    point.kind === 'backup'
      ? one.backup === point.backup
      : cut === undefined || (one.timeline === cut.timeline && one.offset <= cut.offset);
  if (known.some(serves)) return;
  const lost = stored.findLast(serves);
  if (lost === undefined) return;
  throw new KeyError('TM_KEY_SHREDDED', `the key of backup ${lost.backup} was destroyed`, {
    context: { instance, backup: lost.backup, dekId: lost.object.dekId },
    hint: `choose another backup or a later second: tidemark backup list ${instance}`,
  });
}
