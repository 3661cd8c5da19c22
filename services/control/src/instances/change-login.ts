import { connectNode } from '@tidemark/client';
import {
  changeInstance,
  instanceTarget,
  locateNode,
  type InstanceChange,
  type InstanceEntry,
} from '@tidemark/workspace';
import { configuredEntry } from '../queries/instances.ts';
import { checkPsyncNode } from '../queries/psync-node.ts';
import type { AddParts } from './add-instance.ts';
import { checkAofNode } from './aof-node.ts';

const REATTACH_MS = 40_000;

/**
 * Changes how the node of an instance is logged in to, once the node was seen to accept it.
 * @throws UsageError `TM_NOT_FOUND`, `TM_CONFIG`; NodeError: nothing was changed.
 */
export async function changeLogin(
  id: string,
  change: InstanceChange,
  { workspace, signal }: Pick<AddParts, 'workspace' | 'signal'>,
): Promise<void> {
  await workspace.reload();
  const { path } = workspace.config;
  const entry = changed(configuredEntry(id, workspace.config), change);
  const target = await instanceTarget(entry, path);
  try {
    await using client = await connectNode(await locateNode(target, signal), { signal });
    await (entry.source === 'psync' ? checkPsyncNode(client) : checkAofNode(client));
  } finally {
    target.address.tls?.[Symbol.dispose]();
  }
  await changeInstance(path, id, change);
  await workspace.reload();
}

/**
 * Has the archiver of this host go on with an instance as the configuration has it now: its timeline
 * stays open.
 * @returns False when none is running: it does when it starts.
 */
export async function reattachNode(
  id: string,
  { workspace, signal }: Pick<AddParts, 'workspace' | 'signal'>,
): Promise<boolean> {
  const asked = { timeoutMs: REATTACH_MS, signal };
  return (await workspace.askArchiver('reattach', id, asked)) !== null;
}

function changed(entry: InstanceEntry, change: InstanceChange): InstanceEntry {
  const settings = Object.entries({ ...entry, ...change });
  return Object.fromEntries(settings.filter(([, value]) => value !== null)) as InstanceEntry;
}
