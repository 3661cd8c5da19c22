import { COMMANDS } from '@tidemark/aof';
import { readNodeFacts, type NodeClient, type NodeFacts } from '@tidemark/client';

/** What is known of the target of a restore. */
export interface TargetFacts extends NodeFacts {
  /** Libraries of functions; 0 before 7.0. */
  readonly functions: number;
  /** Sentinels that listen on the server's announcement channel. */
  readonly sentinels: number;
  /** Memory of the machine in bytes, 0 when the server does not tell. */
  readonly systemMemory: number;
  readonly maxmemory: number;
  readonly maxmemoryPolicy: string;
  /** Whether it keeps an AOF, and the save points of its RDB. */
  readonly appendonly: boolean;
  readonly save: string;
  readonly tlsReplication: boolean;
  /** Which commands of the command table it runs; null when COMMAND may not be asked. */
  readonly commands: readonly string[] | null;
}

const SENTINEL_CHANNEL = '__sentinel__:hello';

/** The first version with functions. */
export const FUNCTIONS_FROM = 7_00_00;

/** Reads what the preflight decides on. Nothing is changed. */
export async function readTargetFacts(client: NodeClient): Promise<TargetFacts> {
  const node = await readNodeFacts(client);
  const memory = await client.info('memory');
  // Where it may not be asked, Sentinel's own name on its connections is not known either.
  const [listeners] = await client.pipeline([['PUBSUB', 'NUMSUB', SENTINEL_CHANNEL]]);
  const config = node.config ?? {};
  return {
    ...node,
    functions: await countFunctions(client, node.versionNumber),
    sentinels: Array.isArray(listeners) ? Number((listeners as unknown[])[1] ?? 0) : 0,
    systemMemory: memory.number('total_system_memory', 0),
    maxmemory: Number(config.maxmemory ?? 0),
    maxmemoryPolicy: config['maxmemory-policy'] ?? 'noeviction',
    appendonly: config.appendonly === 'yes',
    save: config.save ?? '',
    tlsReplication: config['tls-replication'] === 'yes',
    commands: await readCommands(client),
  };
}

/**
 * Which commands of the table the server runs under these names: COMMAND LIST would also show those
 * that its configuration has renamed.
 */
async function readCommands(client: NodeClient): Promise<readonly string[] | null> {
  const names = COMMANDS.map(({ name }) => name).filter((name) => name !== '');
  const [reply] = await client.pipeline([['COMMAND', 'INFO', ...names]]);
  if (!Array.isArray(reply)) return null;
  return names.filter((_, index) => Array.isArray((reply as readonly unknown[])[index]));
}

/** Whether the server runs a command of any name; true when it may not be asked. */
export async function knowsCommand(client: NodeClient, name: string): Promise<boolean> {
  const [reply] = await client.pipeline([['COMMAND', 'INFO', name]]);
  return !Array.isArray(reply) || Array.isArray((reply as readonly unknown[])[0]);
}

/** How many libraries of functions the server holds; 0 where it knows none or may not be asked. */
export async function countFunctions(client: NodeClient, versionNumber: number): Promise<number> {
  if (versionNumber < FUNCTIONS_FROM) return 0;
  const [libraries] = await client.pipeline([['FUNCTION', 'LIST']]);
  return Array.isArray(libraries) ? libraries.length : 0;
}
