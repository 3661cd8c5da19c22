import { NodeError, UsageError, type Clock, type Random } from '@tidemark/core';
import type { NodeAddress } from '../node-address.ts';
import { replicasToTry } from './agreed-view.ts';
import { mayBeSame, placeName, type HostPort } from './host-port.ts';
import { jittered } from './jitter.ts';
import type { NodeLocator } from './node-locator.ts';
import { askRole, type NodeRole } from './node-role.ts';
import type { SentinelAnswer } from './sentinel-answer.ts';
import { SentinelCircle } from './sentinel-circle.ts';
import { staleView } from './sentinel-errors.ts';
import { SentinelWatch } from './sentinel-watch.ts';

/** How a node is found through Sentinels. */
export interface SentinelSettings {
  /**
   * At least one, in the order in which they are preferred; their own user, password and TLS. Those
   * of the first are used for Sentinels that are learned, too.
   */
  readonly sentinels: readonly NodeAddress[];
  /** Name of the set, as in `sentinel monitor NAME`. */
  readonly master: string;
  /** User, password and TLS of the nodes. */
  readonly node: Omit<NodeAddress, 'host' | 'port' | 'path'>;
  /** Follows a healthy replica where there is one, otherwise the primary. Default false. */
  readonly preferReplica?: boolean;
  /** Between two looks at the Sentinels, beside their messages. Default 5,000 ms. */
  readonly pollMs?: number;
  /** For connecting to a Sentinel or node and for each answer. Default 3,000 ms. */
  readonly timeoutMs?: number;
  /** How long `locate` waits for nodes to be what the Sentinels say. Default 5,000 ms. */
  readonly settleMs?: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** Looks within one `locate`, however fast they are. */
const LOOKS_MAX = 12;
const REPLICAS_TRIED_MAX = 4;

/**
 * Follows the primary of a Sentinel set, or one of its replicas.
 *
 * What Sentinels say is taken as a hint: the node itself has to say that it is a primary (ROLE), or a
 * replica whose link is up. Nothing is asked before the first `locate` or `onMoved`; from the first
 * `onMoved` on, one Sentinel is listened to and all are polled.
 *
 * `locate` rejects with NodeError `TM_SENTINEL_DOWN`, `TM_SENTINEL_STALE` (both retryable),
 * `TM_SENTINEL_MASTER`, `TM_SENTINEL_AUTH`, `TM_NODE_AUTH`, or why TLS failed.
 * @throws UsageError `TM_USAGE` without a Sentinel.
 */
export function openSentinelLocator(settings: SentinelSettings): NodeLocator {
  return new SentinelLocator(settings);
}

class SentinelLocator implements NodeLocator {
  readonly name: string;
  readonly #settings: SentinelSettings;
  readonly #timeoutMs: number;
  readonly #life = new AbortController();
  readonly #circle: SentinelCircle;
  readonly #listeners = new Set<(address: NodeAddress) => void>();
  #watch: SentinelWatch | null = null;
  #looking: Promise<NodeAddress> | null = null;
  #latest: NodeAddress | null = null;

  constructor(settings: SentinelSettings) {
    const { sentinels, master, clock, random } = settings;
    if (sentinels.length === 0) throw new UsageError('TM_USAGE', 'no Sentinel is named');
    this.#settings = settings;
    this.#timeoutMs = settings.timeoutMs ?? 3_000;
    const { signal } = this.#life;
    const peers = { master, timeoutMs: this.#timeoutMs, clock, random, signal };
    this.#circle = new SentinelCircle(sentinels, peers);
    this.name = `${master} of ${this.#circle.names}`;
  }

  get latest(): NodeAddress | null {
    return this.#latest;
  }

  async locate(signal?: AbortSignal): Promise<NodeAddress> {
    signal?.throwIfAborted();
    const looking = this.#look();
    if (signal === undefined) return looking;
    let stop = (): void => undefined;
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason as Error);
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([looking, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  onMoved(listener: (address: NodeAddress) => void): () => void {
    this.#listeners.add(listener);
    this.#watch ??= new SentinelWatch({
      circle: this.#circle,
      clock: this.#settings.clock,
      random: this.#settings.random,
      signal: this.#life.signal,
      pollMs: this.#settings.pollMs ?? 5_000,
      isSettled: (view) => this.#isSettled(view),
      look: () => this.#look(),
    });
    return () => this.#listeners.delete(listener);
  }

  /** Looks once for all who ask at the same time. */
  #look(): Promise<NodeAddress> {
    this.#looking ??= this.#find()
      .then((address) => {
        this.#take(address);
        return address;
      })
      .finally(() => (this.#looking = null));
    return this.#looking;
  }

  #take(address: NodeAddress): void {
    const before = this.#latest;
    this.#latest = address;
    if (before === null || placeName(before) === placeName(address)) return;
    for (const listener of this.#listeners) listener(address);
  }

  async #find(): Promise<NodeAddress> {
    const { clock, random, settleMs = 5_000 } = this.#settings;
    const { signal } = this.#life;
    const end = clock.monotonicMs() + settleMs;
    for (let look = 1; ; look++) {
      const view = await this.#circle.ask();
      try {
        return await this.#confirmed(view);
      } catch (error) {
        const mayPass = error instanceof NodeError && error.retryable;
        if (!mayPass || look >= LOOKS_MAX || clock.monotonicMs() >= end) throw error;
      }
      await clock.sleep(jittered(random, 100, Math.min(1_000, 200 * 2 ** look)), signal);
    }
  }

  /** The node to follow, which itself says that it is what the Sentinels take it for. */
  async #confirmed(view: SentinelAnswer): Promise<NodeAddress> {
    if (this.#settings.preferReplica === true) {
      const replica = await this.#confirmedReplica(view);
      if (replica !== null) return replica;
    }
    const primary = this.#addressOf(view.primary);
    const role = await this.#roleOf(primary);
    if (role.kind === 'primary') return primary;
    // Handed over without the Sentinels (FAILOVER), which notice it only later: both sides and the
    // list of replicas have to agree.
    const { of: successor } = role;
    const known = view.replicas.find((node) => successor !== null && mayBeSame(node, successor));
    if (known === undefined || !role.linkUp) throw staleView(primary, 'is a replica itself');
    const next = this.#addressOf(known);
    if ((await this.#roleOf(next)).kind === 'primary') return next;
    throw staleView(primary, 'is a replica itself');
  }

  async #confirmedReplica(view: SentinelAnswer): Promise<NodeAddress | null> {
    const followed = this.#latest === null ? null : placeName(this.#latest);
    for (const replica of replicasToTry(view, followed).slice(0, REPLICAS_TRIED_MAX)) {
      const address = this.#addressOf(replica);
      try {
        const role = await this.#roleOf(address);
        if (role.kind !== 'replica' || !role.linkUp) continue;
        if (role.of === null || mayBeSame(role.of, view.primary)) return address;
      } catch (error) {
        // The next one, or the primary, may be within reach; the primary's error is told.
        this.#life.signal.throwIfAborted();
        if (!(error instanceof NodeError)) throw error;
      }
    }
    return null;
  }

  async #roleOf(address: NodeAddress): Promise<NodeRole> {
    try {
      return await askRole(address, this.#timeoutMs, this.#life.signal);
    } catch (error) {
      if (error instanceof NodeError && error.code === 'TM_NODE_UNREACHABLE') {
        throw staleView(address, 'cannot be reached', error);
      }
      throw error;
    }
  }

  /** Whether the Sentinels still say of the node that we follow what they said. */
  #isSettled(view: SentinelAnswer): boolean {
    const latest = this.#latest;
    if (latest === null) return false;
    const name = placeName(latest);
    if (this.#settings.preferReplica === true) {
      const [best] = replicasToTry(view, name);
      if (best !== undefined) return placeName(best) === name;
    }
    return placeName(view.primary) === name && !view.primaryIsReplica;
  }

  #addressOf({ host, port }: HostPort): NodeAddress {
    return { ...this.#settings.node, host, port };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    this.#life.abort(new NodeError('TM_NODE_UNREACHABLE', `${this.name} is no longer followed`));
    await this.#watch?.ended;
    await this.#looking?.catch(() => undefined);
    await this.#circle.close();
  }
}
