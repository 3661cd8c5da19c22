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
  /** Names of its commands in lower case, modules' included; null when COMMAND may not be asked. */
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
    commands: await readCommands(client, node.versionNumber),
  };
}

/** COMMAND LIST is younger than COMMAND, which answers with much more. */
const COMMAND_LIST_FROM = 7_00_00;

async function readCommands(
  client: NodeClient,
  versionNumber: number,
): Promise<readonly string[] | null> {
  const list = versionNumber >= COMMAND_LIST_FROM;
  const [reply] = await client.pipeline([list ? ['COMMAND', 'LIST'] : ['COMMAND']]);
  if (!Array.isArray(reply)) return null;
  const names = (reply as readonly unknown[]).map((one) =>
    String(Array.isArray(one) ? one[0] : one).toLowerCase(),
  );
  return names.sort();
}

/** How many libraries of functions the server holds; 0 where it knows none or may not be asked. */
export async function countFunctions(client: NodeClient, versionNumber: number): Promise<number> {
  if (versionNumber < FUNCTIONS_FROM) return 0;
  const [libraries] = await client.pipeline([['FUNCTION', 'LIST']]);
  return Array.isArray(libraries) ? libraries.length : 0;
}
