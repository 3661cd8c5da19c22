import { enableTde, type Tde } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import { adminOfKey, type TdeInstance } from '../queries/open-tde.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
/** How long a refusal of the archiver is waited for when the backup itself is not. */
const START_TIMEOUT_MS = 400;

/** What became of the full backup under the key, which the archiver makes. */
export type KeyBackup =
  | { readonly outcome: 'done' | 'running' | 'no-archiver' }
  | { readonly outcome: 'refused'; readonly message: string };

/**
 * Switches TDE of an instance on, for good; or goes on with what was begun.
 * @param key - A key of the owner's: id, ARN or alias; null = one is made.
 * @throws As `enableTde`.
 */
export async function enableInstanceTde(
  { tde, log, ports }: TdeInstance,
  key: string | null,
  { keys }: Pick<Workspace, 'keys'>,
): Promise<Tde> {
  const admin = key === null ? await keys.adminOf(keys.name) : await adminOfKey(key, keys);
  return enableTde(log, { iid: tde.iid, key, admin }, { ...ports, keys });
}

/**
 * Has the archiver wrap with the new key from here on and make the full backup that is missing.
 * @param wait - Until that stands; else only for a refusal.
 * @throws The signal's reason.
 */
export async function askForKeyBackup(
  id: string,
  wait: boolean,
  workspace: Pick<Workspace, 'askArchiver'>,
  signal: AbortSignal,
): Promise<KeyBackup> {
  const leave = new AbortController();
  const timer = wait ? null : setTimeout(() => leave.abort(), START_TIMEOUT_MS);
  const asked = { timeoutMs: BACKUP_TIMEOUT_MS, signal: AbortSignal.any([signal, leave.signal]) };
  try {
    const answer = await workspace.askArchiver('rekey', id, asked);
    return { outcome: answer === null ? 'no-archiver' : 'done' };
  } catch (cause) {
    if (signal.aborted || (!leave.signal.aborted && !(cause instanceof TidemarkError))) throw cause;
    if (leave.signal.aborted) return { outcome: 'running' };
    return { outcome: 'refused', message: cause instanceof Error ? cause.message : String(cause) };
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
