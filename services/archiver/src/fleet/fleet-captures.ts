import { writerLogKey } from '@tidemark/archive';
import type { LogStart } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import type { CaptureStatus } from '../capture/capture-status.ts';
import type { KeptCapture } from '../capture/kept-capture.ts';
import { SHARD } from '../instance-writers.ts';
import { openLog, type CaptureSetting, type OpenedLogs } from '../open-capture.ts';
import { tryStore } from '../store-trial.ts';
import { FleetDesk, type FleetStatus, type HeldWork } from './fleet-desk.ts';
import { Gate } from './gate.ts';
import { HostFitness } from './host-fitness.ts';
import { HostWatch, type GoneHost } from './host-watch.ts';
import { sweepIdle } from './idle-spools.ts';
import { watchReach } from './store-reach.ts';
import { untilFree, type WatchedLog } from './until-free.ts';
import type { WorkSharing } from './work-sharing.ts';

/** An owner of a log that is shared out shows life this often at least, milliseconds. */
const HEARTBEAT_MS = 5_000;
/** Who is silent for so many of its heartbeats gives up its place in the group. */
const UNFIT_HEARTBEATS = 2;
/** Logs that are opened, or claimed, at one time: much may come over at once. */
const AT_ONCE = 8;
const SWEEP_MS = 600_000;
/** Codes of what another host may do better: a store that passes is seen to by reading it. */
const BARS = /^TM_(STORE|KEY)_(?!IO|SHREDDED|FORMAT)/;

/** How several archivers share captures. */
export interface ArchiverFleet {
  readonly sharing: WorkSharing;
  /** Whether any host can capture it: by replication. Others stay with this one. */
  readonly isShared: (instance: string) => boolean;
}

/** What the captures of a fleet work with. */
export interface FleetCapturesOptions {
  readonly setting: CaptureSetting;
  readonly sharing: WorkSharing;
  /** All that is shared out. */
  readonly instances: readonly string[];
  /** Id of the spool of this host. */
  readonly ownerId: string;
  /** What is kept captured here of it. */
  readonly kept: () => readonly (readonly [string, KeptCapture])[];
  readonly begin: (instance: string) => void;
  readonly release: (instance: string) => Promise<void>;
  /** Whether this host captures it, shared out or not. */
  readonly isHere: (instance: string) => boolean;
}

/** What `status` says of a fleet. */
export interface FleetReport extends FleetStatus {
  /** Id of the spool of this host, as the logs name it. */
  readonly ownerId: string;
  /** Hosts that show no life, of instances that nobody else can capture. */
  readonly gone: readonly GoneHost[];
}

/** Which of the instances that are shared out this host captures, and when it may claim them. */
export class FleetCaptures {
  readonly #options: FleetCapturesOptions;
  readonly #desk: FleetDesk;
  readonly #fitness: HostFitness;
  readonly #gate = new Gate(AT_ONCE);
  /** Instances whose owner was seen to be silent for so long that it is to be deposed. */
  readonly #silent = new Set<string>();
  /** Writer logs as far as they were read while their turn was waited for. */
  readonly #read = new Map<string, LogStart | null>();
  readonly #watch: HostWatch;

  constructor(options: FleetCapturesOptions) {
    const { setting, instances, begin, release, isHere } = options;
    this.#options = options;
    const isShared = (instance: string): boolean => instances.includes(instance);
    const { heartbeatMs } = setting.limits;
    this.#watch = new HostWatch({ ...setting, heartbeatMs, isHere, isShared });
    this.#fitness = new HostFitness({
      clock: setting.clock,
      silenceMs: UNFIT_HEARTBEATS * this.heartbeatMs,
    });
    this.#desk = new FleetDesk({
      clock: setting.clock,
      logger: setting.logger,
      fitness: this.#fitness,
      held: () => this.#held(),
      begin,
      release,
    });
  }

  /** Distance of heartbeats: a configured one that is shorter stays. */
  get heartbeatMs(): number {
    return Math.min(HEARTBEAT_MS, this.#options.setting.limits.heartbeatMs);
  }

  get status(): FleetReport {
    const { ownerId } = this.#options;
    return { ...this.#desk.status, ownerId, gone: this.#watch.gone };
  }

  /** It stays here until this process ends: the group is not told of it before. */
  adopt(instance: string): void {
    this.#desk.adopt(instance);
  }

  /** It is not to be captured any more. */
  forget(instance: string): void {
    this.#desk.forget(instance);
  }

  /** Takes part in the fleet until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { sharing, instances, setting } = this.#options;
    await Promise.all([
      this.#desk.run(signal),
      this.#goOn(signal),
      this.#sweep(signal),
      this.#watch.run(signal),
      watchReach(
        {
          ...setting,
          instances,
          isAsked: () => !this.#held().some(({ isOwner }) => isOwner),
          onReached: () => this.#fitness.reached(),
        },
        signal,
      ),
      sharing.run(instances, this.#desk, signal).catch((cause: unknown) => {
        if (!signal.aborted) setting.logger.error('fleet', { error: String(cause) });
      }),
    ]);
  }

  /** Waits until the log of an instance may be claimed. */
  async turn(instance: string, signal: AbortSignal): Promise<void> {
    const { setting, ownerId } = this.#options;
    const { clock, random, logger } = setting;
    const logs = await this.#gate.pass(() => openLog(instance, 'psync', setting));
    const silent = await untilFree(watched(instance, logs, setting.store), {
      ...{ ownerId, clock, random, signal, heartbeatMs: this.heartbeatMs },
      onWaiting: (owner) => logger.info('waiting-for-log', { instance, owner }),
    });
    if (silent) this.#silent.add(instance);
    else this.#silent.delete(instance);
    this.#read.set(instance, logs.log.readSoFar);
  }

  /** Opens a capture, a few at one time. */
  async open<T>(instance: string, work: (setting: CaptureSetting) => Promise<T>): Promise<T> {
    const { setting } = this.#options;
    const limits = { ...setting.limits, heartbeatMs: this.heartbeatMs };
    const ownerIsGone = this.#silent.has(instance);
    const readSoFar = this.#read.get(instance) ?? null;
    this.#read.delete(instance); // a second try reads all anew
    return this.#gate.pass(() => work({ ...setting, limits, ownerIsGone, readSoFar }));
  }

  #held(): readonly HeldWork[] {
    const nowMs = this.#options.setting.clock.nowMs();
    return this.#options.kept().map(([instance, kept]) => {
      const status = kept.status();
      const { generation, lastEntryMs, storeError } = status;
      const silentMs = lastEntryMs === null ? null : Math.max(0, nowMs - lastEntryMs);
      const isStuck = storeError !== null || isYoung(status);
      const { failure } = status;
      const barredMs = failure !== null && BARS.test(failure.code) ? failure.sinceMs : null;
      return { instance, isOwner: generation !== null, silentMs, isStuck, barredMs };
    });
  }

  /**
   * What this host captured last it goes on with, before anybody tells it to: it was killed, or is
   * started again, and the group may be away.
   */
  async #goOn(signal: AbortSignal): Promise<void> {
    const { instances, setting, ownerId, begin } = this.#options;
    await Promise.all(
      instances.map((instance) =>
        this.#gate.pass(async () => {
          try {
            if (signal.aborted) return;
            const { log, instanceLog } = await openLog(instance, 'psync', setting);
            // Once for all, and now: it takes seconds that a takeover does not have.
            await tryStore(instanceLog, setting);
            const isOver = (): boolean => signal.aborted;
            if (log.state.owner?.ownerId === ownerId && !isOver()) begin(instance);
          } catch (cause) {
            if (!(cause instanceof TidemarkError)) throw cause;
            // It is begun when it is assigned, and then says what ails it.
            setting.logger.warn('fleet-look', { instance, code: cause.code });
          }
        }),
      ),
    );
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { instances, setting, kept } = this.#options;
    const { clock, logger, stateDir, spoolBytesMax } = setting;
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      await clock.sleep(SWEEP_MS, signal).catch(() => undefined);
      if (isOver()) return;
      const here = new Set(kept().map(([instance]) => instance));
      const idle = instances.filter((instance) => !here.has(instance));
      const nowMs = clock.nowMs();
      const swept = await sweepIdle({ stateDir, idle, nowMs, bytesMax: spoolBytesMax });
      if (swept.length > 0) logger.info('idle-spools-removed', { instances: swept.join(' ') });
    }
  }
}

/** One request for each look that finds nothing new: several hosts may look at a log for hours. */
function watched(iid: string, { log, writer }: OpenedLogs, store: ObjectStore): WatchedLog {
  return {
    get state() {
      return log.state;
    },
    catchUp: async () => {
      const next = writerLogKey(iid, SHARD, writer, log.state.seq + 1);
      if ((await store.head(next)) !== null) await log.catchUp();
    },
  };
}

/** Released now, all of the node would have to come once more: its first snapshot and segment are on the way. */
function isYoung({ link, isResumable }: CaptureStatus): boolean {
  return !isResumable && (link?.state === 'syncing' || link?.state === 'streaming');
}
