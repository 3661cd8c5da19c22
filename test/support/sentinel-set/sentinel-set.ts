import { setTimeout as delay } from 'node:timers/promises';
import {
  openSentinelLocator,
  type NodeAddress,
  type NodeClient,
  type NodeLocator,
  type SentinelSettings,
} from '@tidemark/client';
import { TidemarkError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { RedisServer, startRedis } from '../redis-server.ts';
import { SentinelProcess } from './sentinel-process.ts';

/** A node of a set, over TCP or TLS. */
export interface SetNode extends AsyncDisposable {
  /** The port on which Sentinels, replicas and captures reach it. */
  readonly port: number;
  readonly pid: number;
  /** A client that needs no password. */
  connect(): Promise<Redis>;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** How a test wants its set. */
export interface SentinelSetOptions {
  readonly binary?: string;
  /** Nodes; the first one begins as the primary. Default 3. */
  readonly nodes?: number;
  /** Default 3; two of them have to agree. */
  readonly sentinels?: number;
  /** Settings of all nodes. */
  readonly config?: Readonly<Record<string, string | readonly string[]>>;
  /** Lines of every sentinel.conf. */
  readonly sentinelLines?: readonly string[];
  /** User, password and TLS towards the Sentinels. */
  readonly login?: Omit<NodeAddress, 'host' | 'port'>;
  /** Towards the nodes. */
  readonly nodeLogin?: Omit<NodeAddress, 'host' | 'port'>;
  /** Starts a node; default a plain one. */
  readonly startNode?: () => Promise<SetNode>;
  readonly tls?: boolean;
  /** Default 3,000: less, and a busy machine looks like a dead one. */
  readonly downAfterMs?: number;
}

export const MASTER = 'tm';
const WAIT_MS = 90_000;
/** Sentinels look at nodes, and tell each other, more often; a slow machine puts none to sleep. */
const PACE = [
  ...['INFO-PERIOD', '300', 'PUBLISH-PERIOD', '300', 'ASK-PERIOD', '300'],
  ...['TILT-TRIGGER', '60000', 'TILT-PERIOD', '1000', 'ELECTION-TIMEOUT', '3000'],
];

/** A primary, its replicas and the Sentinels that watch them, all of them real. */
export class SentinelSet implements AsyncDisposable {
  readonly nodes: SetNode[] = [];
  readonly sentinels: SentinelProcess[] = [];
  readonly #options: SentinelSetOptions;
  readonly #paused = new Set<number>();

  private constructor(options: SentinelSetOptions) {
    this.#options = options;
  }

  static async start(options: SentinelSetOptions = {}): Promise<SentinelSet> {
    const set = new SentinelSet(options);
    try {
      await set.#startNodes();
      await set.#startSentinels();
      await set.settled();
      return set;
    } catch (error) {
      await set[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #startNodes(): Promise<void> {
    const { nodes = 3, binary, config } = this.#options;
    const start =
      this.#options.startNode ??
      (() =>
        startRedis({
          ...(binary === undefined ? {} : { binary }),
          aof: false,
          config: { 'repl-diskless-sync': 'yes', 'repl-backlog-size': '64mb', ...config },
        }));
    this.nodes.push(await start());
    const { port } = this.node(0);
    for (let i = 1; i < nodes; i++) {
      const node = await start();
      this.nodes.push(node);
      await (await node.connect()).call('REPLICAOF', '127.0.0.1', port.toString());
    }
  }

  async #startSentinels(): Promise<void> {
    const { sentinels = 3, binary, login, tls, sentinelLines = [] } = this.#options;
    const lines = [
      `sentinel monitor ${MASTER} 127.0.0.1 ${this.node(0).port} ${Math.min(2, sentinels)}`,
      `sentinel down-after-milliseconds ${MASTER} ${this.#options.downAfterMs ?? 3_000}`,
      `sentinel failover-timeout ${MASTER} 3000`,
      `sentinel parallel-syncs ${MASTER} 2`,
      ...sentinelLines,
    ];
    for (let i = 0; i < sentinels; i++) {
      const sentinel = await SentinelProcess.start({
        ...(binary === undefined ? {} : { binary }),
        ...(login === undefined ? {} : { login }),
        ...(tls === undefined ? {} : { tls }),
        lines,
        greeting: ['SENTINEL', 'DEBUG', ...PACE], // unknown before 7.0
      });
      this.sentinels.push(sentinel);
    }
  }

  node(index: number): SetNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  }

  /** The node as a server of the tests; only of a set without TLS. */
  server(node: SetNode): RedisServer {
    if (!(node instanceof RedisServer)) throw new Error('this node is no plain server');
    return node;
  }

  sentinel(index: number): SentinelProcess {
    const sentinel = this.sentinels[index];
    if (sentinel === undefined) throw new Error(`there is no Sentinel ${index}`);
    return sentinel;
  }

  nodeAt(port: number): SetNode {
    const node = this.nodes.find((known) => known.port === port);
    if (node === undefined) throw new Error(`no node listens on ${port}`);
    return node;
  }

  /** A locator with the patience of tests. */
  locator(changes: Partial<SentinelSettings> = {}): NodeLocator {
    return openSentinelLocator({
      sentinels: this.sentinels.map(({ address }) => address),
      master: MASTER,
      node: this.#options.nodeLogin ?? {},
      clock: systemClock,
      random: systemRandom,
      ...changes,
    });
  }

  /** Waits until every Sentinel sees the whole set: replicas that follow, and the other Sentinels. */
  async settled(): Promise<void> {
    await this.eachSentinel((client) =>
      waitUntil(`Sentinel ${client.address.port} sees the set`, async () => {
        const master = fieldsOf(await client.call('SENTINEL', 'MASTER', MASTER));
        const replicas = await seenReplicas(client);
        const following = replicas.filter(isFollowing);
        return (
          master.get('flags') === 'master' &&
          Number(master.get('num-other-sentinels')) >= this.sentinels.length - 1 &&
          following.length >= this.nodes.length - 1 &&
          following.every((replica) => replica.get('master-port') === master.get('port'))
        );
      }),
    );
  }

  /** The node that the first Sentinel that answers names. */
  async primary(): Promise<SetNode> {
    for (const sentinel of this.sentinels) {
      const client = await sentinel.connect().catch(() => null);
      if (client === null) continue;
      await using open = client;
      return this.nodeAt(await namedPort(open));
    }
    throw new Error('no Sentinel answers');
  }

  async eachSentinel(work: (client: NodeClient) => Promise<unknown>): Promise<void> {
    for (const sentinel of this.sentinels) {
      await using client = await sentinel.connect();
      await work(client);
    }
  }

  /** A graceful change of primary: `SENTINEL FAILOVER`. */
  async failover(): Promise<void> {
    await using client = await this.sentinel(0).connect();
    await waitUntil('SENTINEL FAILOVER is taken', async () => {
      const [reply] = await client.pipeline([['SENTINEL', 'FAILOVER', MASTER]]);
      return reply === 'OK';
    });
  }

  /**
   * Waits until the Sentinels name another primary, which says so itself.
   * @param sentinels - Default all.
   */
  async newPrimary(
    before: SetNode,
    sentinels: readonly SentinelProcess[] = this.sentinels,
  ): Promise<SetNode> {
    let port = before.port;
    for (const sentinel of sentinels) {
      await using client = await sentinel.connect();
      await waitUntil('the primary has changed', async () => {
        port = await namedPort(client);
        return port !== before.port;
      });
    }
    const after = this.nodeAt(port);
    await waitUntil('the new primary says so', async () => (await roleOf(after)) === 'master');
    return after;
  }

  /** SIGSTOP: it holds its connections and answers nobody. */
  pause({ pid }: { readonly pid: number }): void {
    process.kill(pid, 'SIGSTOP');
    this.#paused.add(pid);
  }

  resume({ pid }: { readonly pid: number }): void {
    process.kill(pid, 'SIGCONT');
    this.#paused.delete(pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.#paused) process.kill(pid, 'SIGCONT');
    await Promise.all(this.sentinels.map((sentinel) => sentinel[Symbol.asyncDispose]()));
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }
}

/** `master` or `slave`; null while it does not answer. Sentinels close clients where they reconfigure. */
export async function roleOf(node: SetNode): Promise<string | null> {
  try {
    const client = await node.connect();
    const [role] = (await client.call('ROLE')) as string[];
    client.disconnect();
    return role ?? null;
  } catch {
    return null;
  }
}

/** The port of the primary that a Sentinel names. */
async function namedPort(sentinel: NodeClient): Promise<number> {
  const reply = await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER);
  return Number((reply as string[])[1]);
}

/** One entry of a reply of SENTINEL, by name. */
export type SeenFields = ReadonlyMap<string, string>;

/** What SENTINEL REPLICAS tells. */
export async function seenReplicas(client: NodeClient): Promise<SeenFields[]> {
  const reply = await client.call('SENTINEL', 'REPLICAS', MASTER);
  return Array.isArray(reply) ? (reply as unknown[]).map(fieldsOf) : [];
}

export function fieldsOf(reply: unknown): SeenFields {
  const flat = Array.isArray(reply) ? (reply as unknown[]).map(String) : [];
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
  return fields;
}

function isFollowing(replica: SeenFields): boolean {
  return replica.get('flags') === 'slave' && replica.get('master-link-status') === 'ok';
}

/**
 * Waits, with a limit that only a fault reaches. What the product says it cannot do now, as on a
 * machine that is short of time, is asked again.
 */
export async function waitUntil(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + WAIT_MS;
  let cause: unknown = null;
  for (;;) {
    try {
      if (await holds()) return;
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      cause = error;
    }
    if (performance.now() > end) throw new Error(`not within ${WAIT_MS} ms: ${what}`, { cause });
    await delay(50);
  }
}
