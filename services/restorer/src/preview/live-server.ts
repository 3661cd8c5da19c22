import {
  checkRights,
  commandName,
  connectNode,
  type NodeAddress,
  type NodeClient,
} from '@tidemark/client';
import { NodeError } from '@tidemark/core';

/**
 * What a comparison sends to the original. Commands that not every server has are asked for by name
 * before they are used, and are left out here.
 */
const COMMANDS: readonly (readonly string[])[] = [
  ['SELECT', '0'],
  ['INFO', 'keyspace'],
  ['COMMAND', 'INFO', 'GET'],
  ['SCAN', '0'],
  ['TYPE', 'key'],
  ['PTTL', 'key'],
  ['TIME'],
  ['MEMORY', 'USAGE', 'key'],
  ['DUMP', 'key'],
  ['STRLEN', 'key'],
  ['GETRANGE', 'key', '0', '1'],
  ['LLEN', 'key'],
  ['LRANGE', 'key', '0', '1'],
  ['SCARD', 'key'],
  ['SISMEMBER', 'key', 'member'],
  ['ZCARD', 'key'],
  ['ZRANGE', 'key', '0', '1'],
  ['HLEN', 'key'],
  ['HSCAN', 'key', '0'],
  ['HSTRLEN', 'key', 'field'],
  ['HMGET', 'key', 'field'],
  ['XLEN', 'key'],
  ['XRANGE', 'key', '-', '+'],
  ['XINFO', 'STREAM', 'key'],
  ['XPENDING', 'key', 'group'],
];

/**
 * Connects to the original and looks whether its user may read what a comparison reads.
 * @throws NodeError `TM_NODE_RIGHTS` that names all commands the user lacks; as `connectNode`.
 */
export async function openLive(address: NodeAddress, signal: AbortSignal): Promise<NodeClient> {
  const client = await connectNode(address, { signal, name: 'tidemark-compare' });
  try {
    const missing = (await checkRights(client, COMMANDS)).map(commandName);
    if (missing.length === 0) {
      // What is read must not count as used when keys are evicted; 7.2 and later can leave that.
      await client.pipeline([['CLIENT', 'NO-TOUCH', 'ON']]);
      return client;
    }
    throw new NodeError('TM_NODE_RIGHTS', `the server denies ${missing.join(', ')}`, {
      context: { commands: missing.join(', ') },
      hint: `grant them: ACL SETUSER <user> ~* ${missing.map(ruleOf).join(' ')}`,
    });
  } catch (cause) {
    await client.close();
    throw cause;
  }
}

const ruleOf = (name: string): string => `+${name.toLowerCase().replace(' ', '|')}`;
