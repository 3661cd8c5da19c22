import {
  splitSecrets,
  type AclUserFacts,
  type CommandFacts,
  type FactsPart,
  type NodeFactsRecord,
} from '@tidemark/archive';
import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';

/** Position of the subcommands in an entry of COMMAND (7.0 and newer). */
const SUBCOMMANDS = 9;
const DENIED = 'TM_NODE_RIGHTS';

/** Facts that were read, and which life of the server they are from. */
export interface ReadFacts {
  readonly facts: NodeFactsRecord;
  readonly runId: string;
}

/**
 * Reads the facts of a node. Only INFO is needed: what the user may not read is null and named in
 * `unread`.
 * @param known - What was read before from the same process: its COMMAND table is taken over as
 *   long as the modules are the same.
 * @param denied - Parts that the user may not read: they are not asked for, since every refusal
 *   stands in the ACL LOG of the node. What is found to be denied is added.
 * @throws NodeError `TM_NODE_UNREACHABLE` also while the node loads its data, `TM_NODE_REPLY`.
 */
export async function readFacts(
  client: NodeClient,
  known: ReadFacts | null,
  denied: Set<FactsPart>,
): Promise<ReadFacts> {
  const info = await client.info('server', 'persistence');
  if (info.flag('loading') || info.flag('async_loading')) {
    throw new NodeError('TM_NODE_UNREACHABLE', 'the server is loading its data');
  }
  const runId = info.get('run_id') ?? '';
  const valkey = info.get('valkey_version');
  const unread: { readonly part: FactsPart; readonly code: string }[] = [];
  const read = async <T>(
    part: FactsPart,
    words: readonly [string, ...string[]],
    parse: (reply: readonly unknown[]) => T,
  ): Promise<T | null> => {
    if (denied.has(part)) {
      unread.push({ part, code: DENIED });
      return null;
    }
    try {
      const reply = await client.callBuffer(...words);
      return parse(Array.isArray(reply) ? (reply as unknown[]) : []);
    } catch (error) {
      if (!(error instanceof NodeError) || error.code === 'TM_NODE_UNREACHABLE') throw error;
      if (error.code === DENIED) denied.add(part);
      unread.push({ part, code: error.code });
      return null;
    }
  };
  const modules = await read('modules', ['MODULE', 'LIST'], modulesOf);
  const settings = await read('config', ['CONFIG', 'GET', '*'], pairsOf);
  const acl = await read('acl', ['ACL', 'LIST'], (reply) => reply.map(userOf));
  const same =
    known?.runId === runId && JSON.stringify(known.facts.modules) === JSON.stringify(modules);
  const commands =
    same && known.facts.commands !== null
      ? known.facts.commands
      : await read('commands', ['COMMAND'], (reply) => reply.flatMap(commandOf));
  const facts: NodeFactsRecord = {
    product: valkey === undefined ? 'redis' : 'valkey',
    version: valkey ?? info.get('redis_version') ?? '',
    modules,
    commands,
    acl,
    unread,
    ...(settings === null ? { config: null, secrets: [] } : splitSecrets(settings)),
  };
  return { facts, runId };
}

/** A byte of the server in each character. */
function textOf(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('latin1') : String(value);
}

function pairsOf(reply: readonly unknown[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (let i = 0; i + 1 < reply.length; i += 2) pairs[textOf(reply[i])] = textOf(reply[i + 1]);
  return pairs;
}

function modulesOf(reply: readonly unknown[]): { name: string; version: number }[] {
  return reply.filter(Array.isArray).map((entry: unknown[]) => {
    const { name = '', ver = '' } = pairsOf(entry);
    return { name, version: Math.trunc(Number(ver)) || 0 };
  });
}

/** `user NAME RULES`. A name holds no space. */
function userOf(line: unknown): AclUserFacts {
  const text = textOf(line).replace(/^user /, '');
  const end = text.indexOf(' ');
  return end < 0
    ? { name: text, rules: '' }
    : { name: text.slice(0, end), rules: text.slice(end + 1) };
}

function commandOf(entry: unknown): CommandFacts[] {
  if (!Array.isArray(entry)) return [];
  const [name, arity, flags, firstKey, lastKey, keyStep] = entry as unknown[];
  const subcommands: unknown = entry[SUBCOMMANDS];
  const own = {
    name: textOf(name),
    arity: Number(arity) || 0,
    flags: (Array.isArray(flags) ? (flags as unknown[]) : []).map(textOf),
    firstKey: Number(firstKey) || 0,
    lastKey: Number(lastKey) || 0,
    keyStep: Number(keyStep) || 0,
  };
  return [own, ...(Array.isArray(subcommands) ? subcommands.flatMap(commandOf) : [])];
}
