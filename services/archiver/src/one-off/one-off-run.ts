import { createInstance, listInstanceIds, type SnapshotStored } from '@tidemark/catalog';
import { describeAddress, dialNode } from '@tidemark/client';
import { makeId, TidemarkError, type ByteSource } from '@tidemark/core';
import type { RdbSummary } from '@tidemark/rdb';
import { openReplicaLink, type ReplicaLink } from '@tidemark/replication';
import { EventLine } from '../capture/event-line.ts';
import type { Logger } from '../logger.ts';
import { SHARD } from '../instance-writers.ts';
import { Backlog } from '../ship/backlog.ts';
import { DataKeys } from '../ship/data-keys.ts';
import type { ShipperOptions } from '../ship/segment-shipper.ts';
import { shipSnapshot } from '../ship/snapshot-shipper.ts';
import type { Spool } from '../ship/spool.ts';
import { tryStore } from '../store-trial.ts';
import { TdeDesk } from '../tde/tde-desk.ts';
import { DumpLog, firstSecondBehind } from './dump-log.ts';
import type { OneOffBackup, OneOffEnvironment, OneOffRequest } from './one-off-options.ts';
import { Patience } from './patience.ts';

const DIAL_MS = 10_000;
/** How often it is looked whether a sign of life is due. */
const BEAT_LOOK_MS = 1_000;
/** Progress is told after so many bytes. */
const TELL_BYTES = 1024 * 1024;

/** One one-off backup, from the claim of its log to the release. */
export class OneOffRun {
  readonly #request: OneOffRequest;
  readonly #spoolId: string;
  readonly #spool: Spool;
  readonly #environment: OneOffEnvironment;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #patience: Patience;
  readonly #dataKeys: DataKeys;
  #log: DumpLog | null = null;
  #events: EventLine | null = null;
  #beat: Promise<void> = Promise.resolve();
  /** Whether TDE guards the instance: then the copy is under its key. */
  #isUnderTde = false;

  constructor(
    request: OneOffRequest,
    spoolId: string,
    spool: Spool,
    environment: OneOffEnvironment,
  ) {
    const { store, keys, clock, signal, onProgress } = environment;
    this.#request = request;
    this.#spoolId = spoolId;
    this.#spool = spool;
    this.#environment = environment;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    const onWait = (error: TidemarkError): void => onProgress({ phase: 'waiting', error });
    this.#patience = new Patience(clock, onWait);
    this.#dataKeys = new DataKeys({ instance: request.instance, keys, store, clock });
  }

  /** @throws As `makeOneOffBackup`. */
  async run(): Promise<OneOffBackup> {
    const { instance } = this.#request;
    const { store, signal } = this.#environment;
    const known = (await listInstanceIds(store, signal)).includes(instance);
    if (known) await this.#begin();
    await this.#mayCopy(null);
    await using link = await this.#link();
    if (!known) {
      // A node that cannot be dumped leaves no instance behind.
      await this.#createInstance();
      await this.#begin();
    }
    const { replid, offset } = link.start;
    await this.#mayCopy(replid);
    const stored = await this.#ship(link);
    await this.#finish();
    return { stored, replid, offset };
  }

  /** After a fault: the log is released all the same. What it was, is told already. */
  async end(): Promise<void> {
    await this.#finish().catch(() => undefined);
    this.#dataKeys.close();
  }

  async #finish(): Promise<void> {
    this.#stop.abort(new Error('the backup has ended'));
    await this.#beat;
    const log = this.#log;
    this.#log = null;
    await log?.end();
  }

  async #begin(): Promise<void> {
    const { instance } = this.#request;
    const { store, keys, clock, random, stateDir, heartbeatMs } = this.#environment;
    const log = await DumpLog.claim(instance, this.#spoolId, this.#environment);
    this.#log = log;
    this.#events = new EventLine(log.log, heartbeatMs, this.#retry);
    this.#beat = this.#showLife(this.#events);
    const { instanceLog, logKey } = log;
    await tryStore(instanceLog, { store, clock, random });
    const ports = { store, logKey, stateDir, clock, random };
    const about = { instance, log: instanceLog, logger: QUIET };
    const desk = new TdeDesk({ ...about, ports, keys, dataKeys: this.#dataKeys });
    this.#isUnderTde = (await desk.renew()).latched;
  }

  async #createInstance(): Promise<void> {
    const { instance: iid } = this.#request;
    const { store, keys, clock, random } = this.#environment;
    const logKey = await keys.logKey(iid);
    const createdMs = clock.nowMs();
    await createInstance({ store, iid, logKey, clock, random, name: iid, createdMs });
  }

  #link(): Promise<ReplicaLink> {
    const { address } = this.#request;
    const { username, password } = address;
    return openReplicaLink({
      dial: (signal) => dialNode(address, { timeoutMs: DIAL_MS, signal }),
      node: describeAddress(address),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      resume: null,
      snapshotOnly: true,
      clock: this.#environment.clock,
      signal: this.#signal,
    });
  }

  async #mayCopy(replid: string | null): Promise<void> {
    if (!this.#isUnderTde) await this.#environment.mayCopy(replid);
  }

  async #ship(link: ReplicaLink): Promise<SnapshotStored> {
    const { clock, random } = this.#environment;
    const [log, events] = [this.#log, this.#events];
    if (log === null || events === null) {
      throw new TidemarkError('TM_INTERNAL', 'a one-off backup without a log');
    }
    const startedSecond = Math.floor(clock.nowMs() / 1000);
    const timeline = makeId(clock.nowMs(), random);
    const job = {
      ...{ backup: `bk-${makeId(clock.nowMs(), random)}`, timeline, offset: 0n },
      mode: this.#request.mode ?? ('manual' as const),
      open: () => this.#bytes(link),
      // The RDB is here and whole. One that is not leaves nothing in the log.
      from: async (summary: RdbSummary): Promise<number> => {
        await this.#mayCopy(link.start.replid);
        await log.refuseCaptured();
        this.#environment.onProgress({ phase: 'storing' });
        const previous = log.log.state.timeline;
        await events.append(log.opened(timeline, nodeOf(summary)));
        return firstSecondBehind(previous, secondOf(summary) ?? startedSecond);
      },
    };
    const shipping = this.#shipping(log, events);
    const backlog = new Backlog({
      ...shipping,
      log: log.log,
      onDurable: () => Promise.resolve(),
      onFailed: (cause) => this.#stop.abort(cause),
    });
    return shipSnapshot(job, shipping, backlog);
  }

  #shipping({ writer }: DumpLog, events: EventLine): ShipperOptions {
    const { store, random } = this.#environment;
    return {
      ...this.#retry,
      ...{ instance: this.#request.instance, shard: SHARD, writer },
      ...{ store, random, spool: this.#spool, dataKeys: this.#dataKeys },
      append: (event, body) => events.append(event, body),
    };
  }

  async *#bytes(link: ReplicaLink): ByteSource {
    const { onProgress } = this.#environment;
    let bytes = 0;
    let told = -TELL_BYTES;
    for await (const chunk of link.snapshot()) {
      bytes += chunk.length;
      if (bytes - told >= TELL_BYTES) {
        told = bytes;
        onProgress({ phase: 'reading', bytes, bytesTotal: link.snapshotLength });
      }
      yield chunk;
    }
  }

  /** Nobody takes the log of a backup that takes its time. */
  async #showLife(events: EventLine): Promise<void> {
    const signal = this.#signal;
    try {
      for (;;) {
        await this.#environment.clock.sleep(BEAT_LOOK_MS, signal);
        await events.heartbeat(() => null, false);
      }
    } catch (cause) {
      if (!signal.aborted) this.#stop.abort(cause);
    }
  }

  get #retry(): Pick<ShipperOptions, 'clock' | 'signal' | 'onRetry' | 'onRecovered'> {
    const { onRetry, onRecovered } = this.#patience;
    return { clock: this.#environment.clock, signal: this.#signal, onRetry, onRecovered };
  }
}

/** The second in which the server began to write it, by its own clock. */
function secondOf({ aux }: RdbSummary): number | null {
  const second = Number(aux['ctime'] ?? NaN);
  return Number.isSafeInteger(second) && second > 0 ? second : null;
}

/** All that the account may know of the server is what the RDB says. */
function nodeOf({ product, aux }: RdbSummary): {
  readonly runId: string;
  readonly version: string;
  readonly product: string;
} {
  const valkey = aux['valkey-ver'];
  const version = (valkey ?? aux['redis-ver'] ?? 'unknown').slice(0, 128);
  return { runId: 'unknown', version, product: valkey === undefined ? product : 'valkey' };
}

/** A command says what is worth it by itself. */
const QUIET: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => QUIET,
};
