import { probeAofDir } from '@tidemark/aof';
import type { InstanceTarget } from '@tidemark/archiver';
import { beginInstanceLog, createInstance, listInstanceIds } from '@tidemark/catalog';
import { connectNode, type NodeClient, type SourceAdvice } from '@tidemark/client';
import { UsageError, type Clock, type Random } from '@tidemark/core';
import {
  addInstance,
  instanceTarget,
  locateNode,
  SwitchedSettings,
  type InstanceEntry,
  type Workspace,
} from '@tidemark/workspace';
import { checkPsyncNode } from '../queries/psync-node.ts';
import { findingText, sourceFindings } from '../queries/source-findings.ts';
import { takeBackFromBin } from '../recycle/take-back.ts';
import { checkAofNode, switchHold, switchTimestamps, warnOfCommandBases } from './aof-node.ts';
import type { Timestamps } from './aof-node.ts';
import { checkAofPlace } from './aof-place.ts';
import { refuseNodeUnderTde } from './configured-nodes.ts';

const ATTACH_MS = 10_000;

/** An instance that is to be taken under protection. */
export interface NewInstance {
  /** As it is written into the configuration. */
  readonly entry: InstanceEntry;
  /** The same with the address that it is looked at under, where that was pinned. */
  readonly pinned?: InstanceEntry;
  /** Consent to switch the time stamps of its append-only file on. */
  readonly switchTimestamps: boolean;
}

/** What an instance is added with. */
export interface AddParts {
  readonly workspace: Workspace;
  readonly clock: Clock;
  readonly random: Random;
  /** The name of an actor. */
  readonly by: string;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly progress: (message: string) => void;
  /** Called once the configuration holds it; what comes after takes nothing back. */
  readonly added?: () => void;
}

/** What was found of a node that was taken up. */
export type AddedNode =
  | {
      readonly source: 'aof';
      readonly product: string;
      readonly version: string;
      readonly pinClass: string;
      readonly timestamps: Timestamps;
    }
  | {
      readonly source: 'psync';
      readonly product: string;
      readonly version: string;
      readonly role: string;
      readonly safety: readonly SourceAdvice[];
    };

/**
 * Checks a node and where it is captured from, takes it into the configuration, and has the archiver of
 * this host take it up. The history of one that the store knows goes on.
 * @throws UsageError `TM_EXISTS`, `TM_CONFIG`, `TM_AOF_DIR`; NodeError; as `createInstance`.
 */
export async function addNode(wanted: NewInstance, parts: AddParts): Promise<AddedNode> {
  const { entry, pinned = entry } = wanted;
  const { workspace, signal } = parts;
  const { config } = workspace;
  await workspace.reload();
  if (workspace.config.instances.some(({ id }) => id === entry.id)) {
    throw new UsageError('TM_EXISTS', `instance ${entry.id} is configured already`, {
      hint: 'change it (PATCH /v1/instances/ID), or release it first: its history goes on',
    });
  }
  const target = await instanceTarget(pinned, config.path);
  try {
    await using client = await connectNode(await locateNode(target, signal), { signal });
    const adding = { wanted, target, client, parts };
    const added = await (entry.source === 'psync' ? addByLink(adding) : addByFiles(adding));
    await addInstance(config.path, entry);
    parts.added?.();
    await workspace.reload();
    return added;
  } finally {
    target.address.tls?.[Symbol.dispose]();
  }
}

/**
 * Has the archiver of this host capture an instance of the configuration.
 * @returns False when none is running: it takes it up when it starts.
 */
export async function attachNode(
  id: string,
  { workspace, signal }: Pick<AddParts, 'workspace' | 'signal'>,
): Promise<boolean> {
  return (await workspace.askArchiver('attach', id, { timeoutMs: ATTACH_MS, signal })) !== null;
}

interface Adding {
  readonly wanted: NewInstance;
  readonly target: InstanceTarget;
  readonly client: NodeClient;
  readonly parts: AddParts;
}

async function addByFiles({ wanted, target, client, parts }: Adding): Promise<AddedNode> {
  const { workspace, signal, warn } = parts;
  const { id, hold = false } = wanted.entry;
  const facts = await checkAofNode(client);
  await refuseNodeUnderTde(id, { client, facts }, workspace, signal);
  const probe = await probeAofDir(target.aofDir ?? '');
  await checkAofPlace(client, facts, probe);
  await warnOfCommandBases(client, warn);
  await createRecord(id, parts);
  const settings = new SwitchedSettings(workspace.config.stateDir, id);
  const timestamps = await switchTimestamps(client, wanted.switchTimestamps, settings, warn);
  if (hold) await switchHold(client, settings);
  const { version, product } = facts;
  const pinClass = probe.pinClass === 'held' && hold ? 'hold' : probe.pinClass;
  return { source: 'aof', product, version, pinClass, timestamps };
}

/** Nothing is changed on the node: what does not fit is said. */
async function addByLink({ wanted, client, parts }: Adding): Promise<AddedNode> {
  const { workspace, signal } = parts;
  const { id } = wanted.entry;
  const facts = await checkPsyncNode(client);
  await refuseNodeUnderTde(id, { client, facts }, workspace, signal);
  const { product, version, role } = facts;
  parts.progress('the node is looked at for two seconds');
  const safety = await sourceFindings(client, facts, signal);
  for (const finding of safety) parts.warn(findingText(finding));
  await createRecord(id, parts);
  return { source: 'psync', product, version, role, safety };
}

async function createRecord(iid: string, parts: AddParts): Promise<void> {
  const { workspace, clock, random, by, signal } = parts;
  const { store, keys } = workspace;
  const logKey = await keys.logKey(iid);
  if ((await listInstanceIds(store)).includes(iid)) {
    // An attempt that was cut short may have left its record alone.
    await beginInstanceLog({ store, iid, logKey, clock, random });
    // Its history goes on, also that of one from the recycle bin.
    await takeBackFromBin(iid, by, { workspace, clock, random }, signal);
    return;
  }
  const createdMs = clock.nowMs();
  await createInstance({ store, iid, logKey, clock, random, name: iid, createdMs });
}
