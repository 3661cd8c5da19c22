import { PlanError, UsageError } from '@tidemark/core';
import type { TargetNode } from '@tidemark/restorer';
import type { Workspace } from '@tidemark/workspace';

/**
 * Whoever empties the node of an instance types its id: with `--yes` alone, a slip in an address would
 * take the data of its owner. One that holds nothing may be restored into, as after a disaster.
 * @param confirm - What was typed.
 * @throws UsageError `TM_WRITE_CONSENT` with `context.instance` and `context.relation`; NodeError.
 */
export async function requireConsent(
  target: TargetNode,
  confirm: string | undefined,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<void> {
  const { refuseConfiguredNode } = await import('@tidemark/control');
  try {
    await refuseConfiguredNode(target, workspace, signal);
  } catch (cause) {
    if (!(cause instanceof PlanError) || cause.code !== 'TM_TARGET_DENIED') throw cause;
    const instance = String(cause.context['instance']);
    const keyspace = await target.client.info('keyspace');
    if (confirm === instance || keyspace.names(/^db\d+$/).length === 0) return;
    throw new UsageError('TM_WRITE_CONSENT', `${cause.message}, and holds data`, {
      context: cause.context,
      hint: `--to original writes keys back and can be undone; to empty this server: --yes --confirm ${instance}`,
      cause,
    });
  }
}
