import type { Config } from '@tidemark/workspace';
import type { Actor } from '../jobs/job.ts';
import { checkPinned } from '../provision/allowed-targets.ts';
import { isOwnSecret } from '../provision/secrets.ts';
import { refuseForeignPinned } from '../provision/target-secrets.ts';
import type { CloneCheckpoint } from './checkpoint.ts';

/**
 * Looks whether a server that somebody named, or a hook, may be connected to for a clone still, and be given the
 * passwords that were named with it. Who runs the command line reads these anyway; what a hook chose is its own.
 * @throws PlanError `TM_TARGET_DENIED`; as `checkPinned`.
 */
export async function checkGiven(
  { asked, provisioned }: Pick<CloneCheckpoint, 'asked' | 'provisioned'>,
  { via }: Actor,
  { worker }: Pick<Config, 'worker'>,
): Promise<void> {
  if (provisioned === null || provisioned.ownedBy === 'host') return;
  const { publicUrl, url } = provisioned;
  // The list may be shorter by now.
  await checkPinned(publicUrl, url, worker.allowTargets);
  const { target, passwordRef } = asked;
  if (target.kind !== 'address' || via === 'cli') return;
  for (const file of [target.passwordRef, passwordRef]) {
    // What Tidemark wrote for this clone no request can name.
    if (file === null || isOwnSecret(file)) continue;
    await refuseForeignPinned(file, publicUrl, url, worker);
  }
}
