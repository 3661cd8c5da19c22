import {
  checkRights,
  commandName,
  connectNode,
  readNodeFacts,
  type NodeAddress,
  type NodeClient,
  type NodeFacts,
} from '@tidemark/client';
import { NodeError, PlanError, type Random } from '@tidemark/core';
import { throwIfStopped } from './exec-batch.ts';

/** What a write-back sends to the original beside what a comparison does. */
const COMMANDS: readonly (readonly string[])[] = [
  ['MULTI'],
  ['EXEC'],
  ['RESTORE', 'key', '0', 'payload', 'REPLACE', 'ABSTTL'],
  ['UNLINK', 'key'],
  ['RENAME', 'key', 'other'],
  ['PERSIST', 'key'],
  ['PEXPIRE', 'key', '1000'],
  ['PEXPIREAT', 'key', '1000'],
  ['APPEND', 'key', 'value'],
  ['RPUSH', 'key', 'element'],
  ['SADD', 'key', 'member'],
  ['ZADD', 'key', '1', 'member'],
  ['HSET', 'key', 'field', 'value'],
  ['XADD', 'key', '1-1', 'field', 'value'],
  ['XDEL', 'key', '1-1'],
  ['XSETID', 'key', '1-1'],
  ['XGROUP', 'CREATE', 'key', 'group', '0'],
  ['XCLAIM', 'key', 'group', 'consumer', '0', '1-1'],
  ['DUMP', 'key'],
  ['TYPE', 'key'],
  ['PTTL', 'key'],
  ['TIME'],
  ['EXISTS', 'key'],
  ['MEMORY', 'USAGE', 'key'],
  ['SSCAN', 'key', '0'],
  ['HSCAN', 'key', '0'],
  ['ZSCAN', 'key', '0'],
];

const WATCHING = [['WATCH', 'key'], ['UNWATCH']] as const;

/** The original, ready to be written to. */
export interface OpenOriginal {
  readonly client: NodeClient;
  readonly facts: NodeFacts;
}

/**
 * Connects to the original and looks whether it can be written to. Nothing is written.
 * @throws NodeError `TM_NODE_RIGHTS` that names all commands the user lacks; PlanError
 *   `TM_WRITE_TARGET` (a replica, loading, read-only), `TM_TARGET_MEMORY`, `TM_TARGET_CLUSTER`; as
 *   `connectNode`.
 */
export async function openOriginal(
  address: NodeAddress,
  { signal, random }: { readonly signal: AbortSignal; readonly random: Random },
): Promise<OpenOriginal> {
  const client = await connectNode(address, { signal, name: 'tidemark-write' });
  try {
    const facts = await readNodeFacts(client);
    refuseState(facts);
    await refuseShards(client, facts);
    await checkWriteRights(client);
    await probeWrites(client, random);
    return { client, facts };
  } catch (cause) {
    await client.close();
    throw cause;
  }
}

function refuseState({ role, loading, master }: NodeFacts): void {
  if (role === 'replica') {
    const of = master === null ? '' : ` of ${master.host}:${master.port.toString()}`;
    throw new PlanError('TM_WRITE_TARGET', `the original is a replica${of}`, {
      context: { role },
      hint: 'name its master in [[instance]] of the configuration: a replica takes no writes',
    });
  }
  if (!loading) return;
  throw new PlanError('TM_WRITE_TARGET', 'the original is loading its data', {
    context: { loading },
    hint: 'try again when it has loaded',
  });
}

/** A node that has all slots is written to as any other; else each key may be on another node. */
async function refuseShards(client: NodeClient, { cluster }: NodeFacts): Promise<void> {
  if (!cluster) return;
  const [info] = await client.pipeline([['CLUSTER', 'INFO']]);
  const size = /cluster_size:(\d+)/.exec(typeof info === 'string' ? info : '')?.[1] ?? '1';
  if (Number(size) <= 1) return;
  throw new PlanError('TM_TARGET_CLUSTER', `the original is a cluster of ${size} shards`, {
    context: { shards: Number(size) },
    hint: 'restore the keys into a new server: --to new',
  });
}

async function checkWriteRights(client: NodeClient): Promise<void> {
  // Both act at once even in a transaction: they are simply tried, and do no harm.
  const tried = await client.pipeline(WATCHING);
  const denied = WATCHING.filter(
    (_, i) => tried[i] instanceof NodeError && tried[i].code === 'TM_NODE_RIGHTS',
  );
  const missing = [...denied, ...(await checkRights(client, COMMANDS))].map(commandName);
  if (missing.length === 0) return;
  const rules = missing.map((name) => `+${name.toLowerCase().replace(' ', '|')}`);
  throw new NodeError('TM_NODE_RIGHTS', `the server denies ${missing.join(', ')}`, {
    context: { commands: missing.join(', ') },
    hint: `grant them: ACL SETUSER <user> ~* ${rules.join(' ')}`,
  });
}

/**
 * Finds out whether the server takes writes that need memory: writing nothing at an offset of 0 makes
 * no key, but is refused as a write is.
 */
async function probeWrites(client: NodeClient, random: Random): Promise<void> {
  const name = `tidemark:probe:${random.bytes(8).toString('hex')}`;
  const [answer] = await client.pipeline([['SETRANGE', name, 0, '']]);
  if (!(answer instanceof NodeError) || answer.code === 'TM_NODE_RIGHTS') return;
  throwIfStopped(answer);
}
