import type { Config } from '@tidemark/workspace';
import type { Actor } from '../jobs/job.ts';
import { SOURCES } from '../instances/entry-of-request.ts';
import { checkPinned, checkTarget } from '../provision/allowed-targets.ts';
import type { Provisioned } from '../provision/provisioner.ts';
import type { Provisioners } from '../provision/provisioners.ts';
import { isOwnSecret } from '../provision/secrets.ts';
import { refuseForeignPinned } from '../provision/target-secrets.ts';
import type { CloneCheckpoint } from './checkpoint.ts';

/**
 * Looks whether a server that somebody named, or a hook, may be connected to for a clone still, and be given the
 * passwords that were named with it. Who runs the command line reads these anyway; what a hook chose is its own.
 * @throws PlanError `TM_TARGET_DENIED`; as `checkPinned` and `requireFor`.
 */
export async function checkGiven(
  { asked, provisioned }: Pick<CloneCheckpoint, 'asked' | 'provisioned'>,
  { via }: Actor,
  { worker }: Pick<Config, 'worker'>,
  { checkFor }: Pick<Provisioners, 'checkFor'>,
): Promise<void> {
  if (provisioned === null || provisioned.ownedBy === 'host') return;
  const { publicUrl, url } = provisioned;
  // The list may be shorter by now.
  await checkPinned(publicUrl, url, worker.allowTargets);
  const { target, passwordRef } = asked;
  if (target.kind !== 'address') return;
  // Of the files of Tidemark itself a request names that of the server at most: the other one was written for this.
  if (target.passwordRef !== null) await checkFor(target.passwordRef, url);
  if (via === 'cli') return;
  for (const file of [target.passwordRef, passwordRef]) {
    if (file === null || isOwnSecret(file)) continue;
    await refuseForeignPinned(file, publicUrl, url, worker);
  }
}

/**
 * Looks whether a server that a request names may be taken under protection, before anything is written into it.
 * @throws As `checkTarget`.
 */
export async function checkNewSource(
  target: CloneCheckpoint['asked']['target'],
  { via }: Actor,
  { allowSources }: Pick<Config, 'allowSources'>,
): Promise<void> {
  if (target.kind !== 'address' || via === 'cli') return;
  await checkTarget(target.url, allowSources, undefined, SOURCES);
}

/**
 * Looks whether a server that was not started here, be it named by a request or by a hook, may be taken under
 * protection: the list may be shorter by now. Who runs the command line may add any.
 * @throws As `checkPinned`.
 */
export async function checkSource(
  { target }: Pick<CloneCheckpoint['asked'], 'target'>,
  { publicUrl, url }: Provisioned,
  { via }: Actor,
  { allowSources }: Pick<Config, 'allowSources'>,
): Promise<void> {
  if (target.kind === 'local' || via === 'cli') return;
  await checkPinned(publicUrl, url, allowSources, SOURCES);
}
