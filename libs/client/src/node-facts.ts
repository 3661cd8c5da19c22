import { NodeError } from '@tidemark/core';
import type { Info } from './info.ts';
import type { NodeClient } from './node-client.ts';

/** A replica as its master sees it. */
export interface ReplicaFacts {
  readonly ip: string;
  readonly port: number;
  /** `online` once it follows the stream. */
  readonly state: string;
}

/** What Tidemark wants to know of a server before it works with it. */
export interface NodeFacts {
  readonly product: 'redis' | 'valkey';
  /** Version of that product, e.g. `7.0.15`. */
  readonly version: string;
  /** Comparable form: major × 10,000 + minor × 100 + patch, e.g. 70015. */
  readonly versionNumber: number;
  readonly runId: string;
  readonly processId: number;
  readonly executable: string;
  readonly tcpPort: number;
  readonly role: 'master' | 'replica';
  /** Of a replica: its master, and whether the link is up. */
  readonly master: { readonly host: string; readonly port: number; readonly up: boolean } | null;
  readonly replicas: readonly ReplicaFacts[];
  readonly cluster: boolean;
  readonly loading: boolean;
  readonly modules: readonly { readonly name: string; readonly version: number }[];
  /** How many databases may be used; null when CONFIG may not be read. */
  readonly databases: number | null;
  /** Databases that hold keys. */
  readonly keyspace: readonly {
    readonly db: number;
    readonly keys: number;
    readonly expires: number;
  }[];
  readonly usedMemory: number;
  /** Settings of interest that this server knows; null when CONFIG may not be read. No secrets. */
  readonly config: Readonly<Record<string, string>> | null;
}

/** Settings that capture or restore looks at; none of them is a secret. */
const SETTINGS = [
  'aof-disable-auto-gc',
  'aof-load-truncated',
  'aof-timestamp-enabled',
  'aof-use-rdb-preamble',
  'appenddirname',
  'appendfilename',
  'appendfsync',
  'appendonly',
  'auto-aof-rewrite-min-size',
  'auto-aof-rewrite-percentage',
  'client-output-buffer-limit',
  'cluster-enabled',
  'databases',
  'dbfilename',
  'dir',
  'import-mode',
  'maxmemory',
  'maxmemory-policy',
  'min-replicas-to-write',
  'propagation-error-behavior',
  'proto-max-bulk-len',
  'rdb-version-check',
  'rdbchecksum',
  'rdbcompression',
  'repl-backlog-size',
  'repl-diskless-load',
  'repl-diskless-sync',
  'repl-timeout',
  'replica-ignore-maxmemory',
  'replica-read-only',
  'replicaof',
  'save',
  'tls-port',
  'tls-replication',
];

/**
 * Reads what a server is, in two round trips.
 *
 * Only INFO is needed; what the user may not read (CONFIG, MODULE LIST) is null or empty.
 * @throws NodeError `TM_NODE_RIGHTS` for INFO, `TM_NODE_REPLY`, `TM_NODE_UNREACHABLE`.
 */
export async function readNodeFacts(client: NodeClient): Promise<NodeFacts> {
  const info = await client.info(
    'server',
    'replication',
    'persistence',
    'memory',
    'cluster',
    'keyspace',
  );
  const [modules, ...settings] = await client.pipeline([
    ['MODULE', 'LIST'],
    ...SETTINGS.map((name) => ['CONFIG', 'GET', name]),
  ]);
  const config = configOf(settings);
  const valkey = info.get('valkey_version');
  const product = valkey !== undefined || info.get('server_name') === 'valkey' ? 'valkey' : 'redis';
  const version = valkey ?? info.get('redis_version') ?? '';
  const databases = Number(config?.databases ?? NaN);
  return {
    product,
    version,
    versionNumber: parseVersion(version),
    runId: info.get('run_id') ?? '',
    processId: info.number('process_id', 0),
    executable: info.get('executable') ?? '',
    tcpPort: info.number('tcp_port', 0),
    role: info.get('role') === 'master' ? 'master' : 'replica',
    master: masterOf(info),
    replicas: replicasOf(info),
    cluster: info.flag('cluster_enabled'),
    loading: info.flag('loading') || info.flag('async_loading'),
    modules: modulesOf(modules),
    databases: Number.isSafeInteger(databases) ? databases : null,
    keyspace: keyspaceOf(info),
    usedMemory: info.number('used_memory', 0),
    config,
  };
}

/**
 * The comparable form of a version: major × 10,000 + minor × 100 + patch.
 *
 * @throws NodeError `TM_NODE_REPLY` for anything that does not begin with three numbers below 100.
 */
export function parseVersion(version: string): number {
  const match = /^(\d{1,3})\.(\d{1,2})\.(\d{1,2})(?!\d)/.exec(version);
  if (match === null) {
    throw new NodeError('TM_NODE_REPLY', 'the server does not tell a version that is understood', {
      context: { version: version.slice(0, 40) },
    });
  }
  return Number(match[1]) * 10_000 + Number(match[2]) * 100 + Number(match[3]);
}

function configOf(replies: readonly unknown[]): Readonly<Record<string, string>> | null {
  const config: Record<string, string> = {};
  let answered = false;
  for (const reply of replies) {
    if (!Array.isArray(reply)) continue;
    answered = true;
    const [name, value] = reply as unknown[];
    if (typeof name === 'string' && typeof value === 'string') config[name] = value;
  }
  return answered ? config : null;
}

function masterOf(info: Info): NodeFacts['master'] {
  const host = info.get('master_host');
  if (host === undefined) return null;
  return { host, port: info.number('master_port', 0), up: info.get('master_link_status') === 'up' };
}

function replicasOf(info: Info): ReplicaFacts[] {
  return info.names(/^slave\d+$/).map((name) => {
    const { ip = '', port = '0', state = '' } = info.fields(name);
    return { ip, port: Number(port), state };
  });
}

function keyspaceOf(info: Info): NodeFacts['keyspace'] {
  return info.names(/^db\d+$/).map((name) => {
    const { keys = '0', expires = '0' } = info.fields(name);
    return { db: Number(name.slice(2)), keys: Number(keys), expires: Number(expires) };
  });
}

function modulesOf(reply: unknown): NodeFacts['modules'] {
  if (!Array.isArray(reply)) return [];
  return (reply as unknown[]).filter(Array.isArray).map((entry: unknown[]) => ({
    name: String(entry[entry.indexOf('name') + 1]),
    version: Number(entry[entry.indexOf('ver') + 1]),
  }));
}
