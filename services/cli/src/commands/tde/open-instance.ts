import { openTdeInstance as open, type TdeInstance } from '@tidemark/control';
import type { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../../invocation.ts';

/**
 * Brings the catalog up to date, opens the log of an instance and asks all three places.
 * @throws UsageError `TM_NOT_FOUND` for an instance that the store does not have.
 */
export async function openTdeInstance(
  id: string,
  workspace: Workspace,
  { signal }: Invocation,
): Promise<TdeInstance> {
  await workspace.sync(signal, id);
  return open(id, workspace, signal);
}
