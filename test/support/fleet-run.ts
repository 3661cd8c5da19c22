import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Windows } from '@tidemark/archive';
import { callArchiver, controlSocketPath, type FleetReport } from '@tidemark/archiver';
import {
  createInstance,
  openCatalog,
  openInstanceLog,
  openWriterLog,
  readWriterLog,
  type Catalog,
  type LogEntry,
  type WriterLog,
} from '@tidemark/catalog';
import type { StatusDocument } from '@tidemark/control';
import { createKeyRing, openKeys, type KeyProviders } from '@tidemark/crypto';
import { openStore, type ObjectStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { freePort } from './child-server.ts';
import { CutOff } from './cut-off.ts';
import { makeHost, PREFIX, type FleetHost } from './fleet-hosts.ts';
import { KafkaBroker } from './kafka.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import { S3Server } from './s3-servers.ts';
import { storedCommandsOf } from './stored-commands.ts';
import { TempDir } from './temp-dir.ts';
import { ArchiverProcess, runTidemark } from './tidemark-cli.ts';

const WRITE_EVERY_MS = 150;
/** Between two looks at the logs: each is a request for each log. */
const LOOK_MS = 700;
/** For a condition that holds soon on a machine that does nothing else. */
const SOON_MS = 90_000;

/** What a fleet is started with. */
export interface FleetOptions {
  readonly shards: number;
  readonly backlog?: string;
  /** Distance of heartbeats. Default that of a fleet. */
  readonly heartbeat?: string;
}

/** A Redis server that is captured, and what writes to it. */
export interface FleetShard {
  readonly instance: string;
  readonly server: RedisServer;
  /** The last number that the server has taken. */
  written: number;
}

/** Who owns a log. */
export interface FleetOwner {
  readonly instance: string;
  readonly host: string;
  readonly generation: number;
  readonly released: boolean;
  /** Whether the owner before it had not released the log. */
  readonly tookOver: boolean;
  readonly claimedMs: number;
  /** Time of the last entry. */
  readonly lastEntryMs: number;
  readonly provenTo: number | null;
  /** Whether another host could go on. */
  readonly isResumable: boolean;
}

/** Ways that can be cut, each of one host. */
export interface FleetWays {
  readonly bToStore: CutOff;
  readonly cToStore: CutOff;
  readonly cToBroker: CutOff;
}

/**
 * Three hosts with an archiver each, a real Kafka broker and a real S3 server that they share, and
 * Redis servers that are written to. Two hosts reach them through proxies.
 */
export class FleetBench implements AsyncDisposable {
  readonly hosts: readonly FleetHost[];
  readonly shards: readonly FleetShard[];
  readonly broker: KafkaBroker;
  readonly store: ObjectStore;
  readonly keys: KeyProviders;
  /** What the second host reaches the store through, and the third one broker and store. */
  readonly ways: FleetWays;
  readonly #owned: AsyncDisposable[];
  readonly #temp: TempDir;
  readonly #logs = new Map<string, WriterLog>();
  readonly #names = new Map<string, string>();
  readonly #over = new AbortController();
  #writing: Promise<void>[] = [];

  private constructor(
    parts: Pick<FleetBench, 'hosts' | 'shards' | 'broker' | 'store' | 'keys' | 'ways'>,
    temp: TempDir,
    owned: AsyncDisposable[],
  ) {
    this.hosts = parts.hosts;
    this.shards = parts.shards;
    this.broker = parts.broker;
    this.store = parts.store;
    this.keys = parts.keys;
    this.ways = parts.ways;
    this.#temp = temp;
    this.#owned = owned;
  }

  static async start({
    shards: count,
    backlog = '64mb',
    heartbeat = '5s',
  }: FleetOptions): Promise<FleetBench> {
    const owned: AsyncDisposable[] = [];
    const own = <T extends AsyncDisposable>(part: T): T => {
      owned.push(part);
      return part;
    };
    try {
      const temp = own(await TempDir.create('tidemark-fleet-'));
      const ways: FleetWays = {
        bToStore: own(await CutOff.listen()),
        cToStore: own(await CutOff.listen()),
        cToBroker: own(await CutOff.listen()),
      };
      const beside = { port: await freePort(), advertised: ways.cToBroker.port };
      const config = { 'repl-backlog-size': backlog, 'repl-diskless-sync-delay': '0', save: '' };
      const [broker, s3, ...servers] = await Promise.all([
        KafkaBroker.start({ beside }).then(own),
        S3Server.start({ kind: 'versitygw' }).then(own),
        ...Array.from({ length: count }, () => startRedis({ aof: false, config }).then(own)),
      ]);
      ways.cToBroker.leadTo(beside.port);
      for (const way of [ways.bToStore, ways.cToStore]) {
        way.leadTo(Number(new URL(s3.endpoint).port));
      }
      const ports = { random: systemRandom, clock: systemClock };
      const store = await openStore(s3.settings({ prefix: PREFIX }), ports);
      const dir = join(temp.path, 'ring');
      (await createKeyRing({ dir, ...ports })).close();
      const keys = await openKeys({ provider: 'ring', ringDir: dir }, ports);
      const shards = servers.map((server, at) => ({ instance: `shard-${at}`, server, written: 0 }));
      for (const { instance: iid } of shards) {
        const record = { store, iid, logKey: await keys.logKey(iid), ...ports };
        await createInstance({ ...record, name: iid, createdMs: Date.now() });
      }
      const { bucket } = s3;
      const through = ({ port }: CutOff): string => `http://127.0.0.1:${port}`;
      const cBroker = `127.0.0.1:${ways.cToBroker.port}`;
      const places = [
        { name: 'a', broker: broker.address, endpoint: s3.endpoint },
        { name: 'b', broker: broker.address, endpoint: through(ways.bToStore) },
        { name: 'c', broker: cBroker, endpoint: through(ways.cToStore) },
      ];
      const hosts = await Promise.all(
        places.map((place) => makeHost(temp.path, { ...place, heartbeat, bucket, shards })),
      );
      return new FleetBench({ hosts, shards, broker, store, keys, ways }, temp, owned);
    } catch (error) {
      for (const part of owned.reverse()) await part[Symbol.asyncDispose]();
      throw error;
    }
  }

  host(name: string): FleetHost {
    return this.hosts.find((host) => host.name === name)!;
  }

  /** The archiver of a host. */
  archiver(name: string): ArchiverProcess {
    const { process } = this.host(name);
    if (process === null) throw new Error(`no archiver of ${name} was started`);
    return process;
  }

  /** Starts the archiver of a host. */
  serve(name: string): ArchiverProcess {
    const host = this.host(name);
    host.process = new ArchiverProcess(['-c', host.config, 'serve', 'archiver']);
    return host.process;
  }

  /** Writes to every server until the end: the numbers from 1 on, one after the other. */
  async write(): Promise<void> {
    for (const shard of this.shards) {
      const client = await shard.server.connect();
      this.#writing.push(this.#writeTo(shard, client));
    }
  }

  /** Writes no more, and lets what was written be shipped. */
  async settle(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#writing);
    this.#writing = [];
    const owners = await this.owners();
    await Promise.all(
      owners.map(({ host, instance }) => {
        const socketPath = controlSocketPath(this.host(host).stateDir);
        return callArchiver({ socketPath, timeoutMs: 30_000 }, 'roll', instance);
      }),
    );
  }

  /** What `tidemark status` says on a host. */
  async status(name: string): Promise<StatusDocument> {
    const { code, out, err } = await runTidemark([
      '-c',
      this.host(name).config,
      'status',
      '-o',
      'json',
    ]);
    if (code !== 0) throw new Error(`tidemark status ended with ${code}: ${err}`);
    return JSON.parse(out) as StatusDocument;
  }

  /** Who owns which log now, as the logs say. */
  async owners(): Promise<readonly FleetOwner[]> {
    const found = await Promise.all(this.shards.map(({ instance }) => this.#ownerOf(instance)));
    return found.filter((owner) => owner !== null);
  }

  /** Waits until something holds of who owns what; what it was then. */
  async untilOwners(
    holds: (owners: readonly FleetOwner[]) => boolean,
    timeoutMs = SOON_MS,
  ): Promise<readonly FleetOwner[]> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const owners = await this.owners();
      if (owners.length === this.shards.length && holds(owners)) return owners;
      if (performance.now() > deadline) {
        throw new Error(`did not come true: ${JSON.stringify(owners)}\n${this.#hostLogs()}`);
      }
      await systemClock.sleep(LOOK_MS);
    }
  }

  /** Waits until something holds. */
  async until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
    const deadline = performance.now() + SOON_MS;
    while (!(await holds())) {
      if (performance.now() > deadline)
        throw new Error(`did not come true: ${what}\n${this.#hostLogs()}`);
      await systemClock.sleep(LOOK_MS);
    }
  }

  /** Waits until every host has what it is to have, and another one could go on with all of it. */
  async untilSettled(): Promise<readonly FleetOwner[]> {
    for (;;) {
      const owners = await this.untilOwners((all) => all.every(isWhole));
      const asIs = await Promise.all(this.hosts.map((host) => hasItsWork(host, owners)));
      if (asIs.every((each) => each)) return owners;
      await systemClock.sleep(LOOK_MS);
    }
  }

  /** What a host was given by the group, as far as it knows. */
  async assigned(name: string): Promise<readonly string[]> {
    return (await fleetStatus(this.host(name)))?.assigned ?? [];
  }

  /** Every entry of the log of an instance. */
  async entries(instance: string): Promise<readonly LogEntry[]> {
    const { state: _, ...log } = await this.#sourceOf(instance);
    const all: LogEntry[] = [];
    for await (const batch of readWriterLog(log, {})) all.push(...batch);
    return all;
  }

  /** Seconds that can be restored, and what is missing between them. */
  async windows(instance: string): Promise<Windows> {
    using catalog = await this.#catalogOf(instance);
    return catalog.windows(instance);
  }

  /** The numbers that the store holds of what was written to an instance, in their order. */
  async storedNumbers(instance: string): Promise<readonly number[]> {
    using catalog = await this.#catalogOf(instance);
    const { store, keys } = this;
    const commands = await storedCommandsOf({ catalog, instance, store, keys });
    const found = commands
      .toString('latin1')
      .matchAll(/RPUSH\r\n\$7\r\nnumbers\r\n\$\d+\r\n(\d+)/gi);
    return [...found].map(([, number]) => Number(number));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#writing);
    for (const { process } of this.hosts) {
      process?.child.kill('SIGCONT');
      await process?.kill();
    }
    for (const part of this.#owned.reverse()) await part[Symbol.asyncDispose]();
  }

  #hostLogs(): string {
    return this.hosts.map(({ name, process }) => `${name}: ${process?.log ?? '-'}`).join('\n');
  }

  async #catalogOf(instance: string): Promise<Catalog> {
    const catalog = openCatalog({ path: join(this.#temp.path, 'catalog.db') });
    const logKey = (iid: string): ReturnType<KeyProviders['logKey']> => this.keys.logKey(iid);
    await catalog.sync({ store: this.store, logKey, instances: [instance] });
    return catalog;
  }

  async #writeTo(shard: FleetShard, client: Redis): Promise<void> {
    while (!this.#over.signal.aborted) {
      await client.rpush('numbers', shard.written + 1);
      shard.written += 1;
      await systemClock.sleep(WRITE_EVERY_MS);
    }
  }

  async #ownerOf(instance: string): Promise<FleetOwner | null> {
    let log = this.#logs.get(instance);
    if (log === undefined) {
      const source = await this.#sourceOf(instance);
      if (source.writer === '') return null;
      log = await openWriterLog({ ...source, clock: systemClock, random: systemRandom });
      this.#logs.set(instance, log);
    }
    await log.catchUp();
    const { owner, lastEntryMs, timeline } = log.state;
    if (owner === null) return null;
    return {
      instance,
      host: await this.#nameOf(owner.ownerId),
      generation: owner.generation,
      released: owner.released,
      tookOver: owner.tookOver,
      claimedMs: owner.atMs,
      lastEntryMs: lastEntryMs ?? 0,
      provenTo: timeline?.provenTo ?? null,
      isResumable: timeline?.snapshot != null && timeline.cursor !== null,
    };
  }

  async #sourceOf(iid: string): Promise<{
    readonly store: ObjectStore;
    readonly iid: string;
    readonly shard: string;
    readonly writer: string;
    readonly logKey: Awaited<ReturnType<KeyProviders['logKey']>>;
    readonly state: unknown;
  }> {
    const { store, keys } = this;
    const logKey = await keys.logKey(iid);
    const ports = { clock: systemClock, random: systemRandom };
    const { state } = await openInstanceLog({ store, iid, logKey, ...ports });
    const { shard = '0', writer = '' } = state.writers[0] ?? {};
    return { store, iid, shard, writer, logKey, state };
  }

  async #nameOf(ownerId: string): Promise<string> {
    for (const { name, stateDir } of this.hosts) {
      if (this.#names.has(ownerId)) break;
      const id = await readFile(join(stateDir, 'spool', 'owner'), 'utf8').catch(() => '');
      if (id.trim() !== '') this.#names.set(id.trim(), name);
    }
    return this.#names.get(ownerId) ?? ownerId;
  }
}

function isWhole({ provenTo, isResumable, released }: FleetOwner): boolean {
  return provenTo !== null && isResumable && !released;
}

/** Whether a host is a member of the group, and owns the logs that it was given and no others. */
async function hasItsWork(host: FleetHost, owners: readonly FleetOwner[]): Promise<boolean> {
  const fleet = await fleetStatus(host);
  const owned = owners.filter((owner) => owner.host === host.name).map(({ instance }) => instance);
  return fleet?.state === 'member' && fleet.assigned.join() === owned.sort().join();
}

/** @returns Null from an archiver that is just started and does not answer yet. */
async function fleetStatus({ stateDir }: FleetHost): Promise<FleetReport | null> {
  const socketPath = controlSocketPath(stateDir);
  const asked = callArchiver({ socketPath, timeoutMs: 10_000 }, 'status', null);
  const answer = (await asked.catch(() => null)) as { readonly fleet: FleetReport } | null;
  return answer?.fleet ?? null;
}
