import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CatalogError, TidemarkError, UsageError } from '@tidemark/core';
import type { SnapshotStored } from '@tidemark/catalog';
import type { CaptureStatus } from './capture/capture-status.ts';
import { isLost } from './capture/follows-log.ts';
import { KeptCapture } from './capture/kept-capture.ts';
import type { NodeCapture } from './capture/node-capture.ts';
import { closeDetached, dropWire } from './close-log.ts';
import { openControlServer } from './control/control-server.ts';
import type { BackupMode, ControlRequest } from './control/protocol.ts';
import { InstanceFlashback } from './flashback/instance-flashback.ts';
import { FleetCaptures, type ArchiverFleet } from './fleet/fleet-captures.ts';
import type { GoneHost } from './fleet/host-watch.ts';
import {
  openCapture,
  type CaptureSetting,
  type InstanceTarget,
  type UnreadInstance,
} from './open-capture.ts';
import { readOwnerId } from './owner-id.ts';
import { RequestMeter } from './ship/request-meter.ts';
import { SpoolLock } from './ship/spool-lock.ts';
import type { TdeDesk } from './tde/tde-desk.ts';

/** What an archiver runs on; adapters come from main.ts. */
export interface ArchiverOptions extends CaptureSetting {
  /** Whether the log of an instance without a policy of its own is kept. Default: it is. */
  readonly flashback?: boolean;
  /** Absent: it captures all its instances. */
  readonly fleet?: ArchiverFleet;
  readonly instances: readonly (InstanceTarget | UnreadInstance)[];
  /** Reads the configuration again when an instance is to be attached while running. */
  readonly findInstance: (id: string) => Promise<InstanceTarget | UnreadInstance | null>;
}

/** Path of the control socket in a state folder. */
export function controlSocketPath(stateDir: string): string {
  return join(stateDir, 'control.sock');
}

/**
 * Captures a set of instances and answers on the control socket until it is told to stop.
 *
 * An instance that cannot be captured is tried again, and the others go on.
 */
export class Archiver {
  readonly #options: ArchiverOptions;
  readonly #kept = new Map<string, KeptCapture>();
  /** What looks after the keys of the capture that was opened last, by instance. */
  readonly #tde = new Map<string, TdeDesk>();
  /** Attaching and detaching take turns: two claims of one log would depose each other. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #flashback = new Map<string, InstanceFlashback>();
  /** Ends what is made beside the captures. */
  readonly #over = new AbortController();
  #stopping = false;
  #ownerId = '';
  #fleet: FleetCaptures | null = null;

  constructor(options: ArchiverOptions) {
    this.#options = options;
  }

  /** Ids of the instances that are captured, or will be tried again; not those that another archiver has. */
  get instances(): readonly string[] {
    const here = [...this.#kept].filter(([, { over, isWaiting }]) => !over && !isWaiting);
    return here.map(([id]) => id);
  }

  /** Hosts that show no life, of instances that nobody else can capture; only a fleet looks. */
  get goneHosts(): readonly GoneHost[] {
    return this.#fleet?.status.gone ?? [];
  }

  /** What there is to say of each instance now. */
  status(): readonly CaptureStatus[] {
    return [...this.#kept.values()].map((kept) => kept.status());
  }

  /**
   * Runs until the signal is aborted; then every capture ships what it has and releases its log.
   * @throws CatalogError `TM_LOG_OWNER` when another archiver owns the spool, or all the logs; what
   *   the first instance fails with at the start when none can be captured and time will not mend
   *   it; what a capture ended in when it was told to stop.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { stateDir, instances, logger } = this.#options;
    const spoolDir = join(stateDir, 'spool');
    await mkdir(spoolDir, { recursive: true, mode: 0o700 });
    using _lock = new SpoolLock(join(spoolDir, 'lock.db'));
    this.#ownerId = await readOwnerId(join(spoolDir, 'owner'), this.#options);
    await using _control = await openControlServer(controlSocketPath(stateDir), (request) =>
      this.#answer(request),
    );
    let failure: Error | null = null;
    const over = new AbortController();
    const fleet = this.#openFleet();
    const sharing = fleet?.run(AbortSignal.any([signal, over.signal]));
    try {
      for (const instance of instances) if (!this.#isShared(instance.id)) this.#keep(instance);
      if (instances.length === 0) logger.warn('no-instances');
      // A fleet gives work later, and what one host loses another one has.
      const ends = fleet === null ? [this.#nothingBegins(), this.#allAreLost()] : [];
      failure = await Promise.race([aborted(signal), ...ends]);
      logger.info('stopping');
    } finally {
      this.#stopping = true;
      over.abort(new Error('the archiver is stopping'));
      this.#over.abort(new Error('the archiver is stopping'));
      const ends = await this.#inTurn(() => this.#stopAll());
      await sharing;
      // What another host of the fleet took over meanwhile goes on there.
      const counts = (end: Error | null): boolean => end !== null && !(fleet && isLost(end));
      failure ??= ends.find(counts) ?? null;
    }
    if (failure !== null) throw failure;
    logger.info('stopped');
  }

  /** Stops every capture; what each of them ended in. Those that were lost before are left out. */
  async #stopAll(): Promise<readonly (Error | null)[]> {
    const running = [...this.#kept.values()].filter(({ over }) => !over);
    return Promise.all(running.map((kept) => kept.stop().then(() => null, asError)));
  }

  /** Resolves with the first failure when no instance can be captured and time will not mend it. */
  async #nothingBegins(): Promise<Error> {
    const first = [...this.#kept.values()];
    const ends = await Promise.allSettled(first.map(({ begun }) => begun));
    const failures = ends.flatMap((end) =>
      end.status === 'rejected' && isHopeless(end.reason) ? [asError(end.reason)] : [],
    );
    return failures.length === first.length ? (failures[0] ?? never()) : never();
  }

  /** Resolves when the last log was lost to another archiver. */
  async #allAreLost(): Promise<Error> {
    const first = [...this.#kept.values()];
    const ends = await Promise.allSettled(first.map(({ done }) => done));
    const lost = ends.flatMap((end) =>
      end.status === 'rejected' && isLost(end.reason) ? [asError(end.reason)] : [],
    );
    // Others may have been attached meanwhile, or all were detached.
    const others = [...this.#kept.values()].some(({ over }) => !over);
    return others ? never() : (lost[0] ?? never());
  }

  async #inTurn<T>(work: () => Promise<T> | T): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #isShared(id: string): boolean {
    return this.#options.fleet?.isShared(id) ?? false;
  }

  #openFleet(): FleetCaptures | null {
    const { fleet, instances, ...setting } = this.#options;
    if (fleet === undefined) return null;
    const shared = new Map(instances.map((each) => [each.id, each]));
    for (const id of shared.keys()) if (!fleet.isShared(id)) shared.delete(id);
    this.#fleet = new FleetCaptures({
      setting,
      sharing: fleet.sharing,
      instances: [...shared.keys()],
      ownerId: this.#ownerId,
      kept: () => [...this.#kept].filter(([id, { over }]) => !over && fleet.isShared(id)),
      begin: (id) => {
        const instance = shared.get(id);
        if (instance !== undefined && !this.#stopping) this.#keep(instance);
      },
      release: (id) => this.#release(id),
      isHere: (id) => this.#kept.has(id),
    });
    return this.#fleet;
  }

  /** Another host goes on: the timeline stays open, and so does what lies in the spool. */
  async #release(id: string): Promise<void> {
    const kept = this.#kept.get(id);
    try {
      await kept?.stop();
    } finally {
      if (this.#kept.get(id) === kept) {
        this.#kept.delete(id);
        this.#tde.delete(id);
        this.#flashback.delete(id);
      }
    }
    this.#options.logger.info('released', { instance: id });
  }

  #releaseFailed(instance: string, cause: unknown): void {
    this.#options.logger.warn('release-failed', { instance, error: asError(cause).message });
  }

  /** Begins to keep an instance captured, unless it is already. */
  #keep(instance: InstanceTarget | UnreadInstance): KeptCapture {
    if (this.#stopping) throw new TidemarkError('TM_ARCHIVER_DOWN', 'the archiver is stopping');
    const { id } = instance;
    const known = this.#kept.get(id);
    if (known !== undefined && !known.over) return known;
    const { clock, logger } = this.#options;
    const read = 'read' in instance ? instance.read : () => Promise.resolve(instance);
    let target: InstanceTarget | null = null;
    const targetOf = async (): Promise<InstanceTarget> => (target ??= await read());
    const fleet = this.#isShared(id) ? this.#fleet : null;
    const requests = new RequestMeter(clock);
    const open = async (setting: CaptureSetting): Promise<NodeCapture> => {
      const counting = { ...setting, requests };
      const { capture, tde } = await openCapture(await targetOf(), this.#ownerId, counting);
      this.#tde.set(id, tde);
      return capture;
    };
    const { flashback: byDefault = true, ...setting } = this.#options;
    const flashback = new InstanceFlashback({
      ...setting,
      ...{ instance: id, byDefault, target: targetOf, requests },
    });
    this.#flashback.set(id, flashback);
    const kept = new KeptCapture({
      ...{ instance: id, flashback: flashback.watch },
      open: () => (fleet === null ? open(this.#options) : fleet.open(id, open)),
      ...(fleet === null ? {} : { turn: (signal) => fleet.turn(id, signal) }),
      beside: async (capture, signal) => this.#tde.get(id)?.run(capture, signal),
      clock,
      logger: logger.child({ instance: id }),
    });
    this.#kept.set(id, kept);
    return kept;
  }

  async #detach(id: string): Promise<void> {
    const kept = this.#kept.get(id);
    if (this.#isShared(id) && (kept === undefined || kept.isWaiting)) throw elsewhere(id);
    if (kept === undefined) return;
    this.#fleet?.forget(id);
    try {
      const { limits } = this.#options;
      const setting = { ...this.#options, heartbeatMs: limits.heartbeatMs };
      // One that fails has nobody who could close its timeline; a lost log is not ours to close.
      if (!(await kept.detach()) && !kept.isLost) await closeDetached(id, this.#ownerId, setting);
      await dropWire(id, setting.stateDir);
    } finally {
      this.#kept.delete(id);
      this.#tde.delete(id);
      this.#flashback.delete(id);
    }
  }

  /** While flashback is off no capture runs that could make it. */
  async #backup(
    id: string,
    kept: KeptCapture,
    mode: BackupMode,
  ): Promise<Pick<SnapshotStored, 'backup' | 'offset' | 'from'>> {
    const flashback = this.#flashback.get(id);
    if (!kept.isResting || flashback === undefined) return kept.running.backup(mode);
    return flashback.backup(mode, this.#over.signal);
  }

  async #answer(request: ControlRequest): Promise<unknown> {
    if (request.method === 'status') {
      return { pid: process.pid, captures: this.status(), fleet: this.#fleet?.status ?? null };
    }
    const id = request.instance ?? '';
    if (request.method === 'detach') {
      await this.#inTurn(() => this.#detach(id));
      return {};
    }
    if (request.method === 'attach' || request.method === 'reattach') {
      const isAnew = request.method === 'reattach';
      const instance = await this.#options.findInstance(id);
      if (instance === null)
        throw new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`);
      if (isAnew && this.#isShared(id) && !this.#kept.has(id)) throw elsewhere(id);
      if (!isAnew) this.#fleet?.adopt(id);
      const begun = this.#inTurn(async () => {
        // Whatever could not be let go in good order: it is captured again.
        if (isAnew)
          await this.#release(id).catch((cause: unknown) => this.#releaseFailed(id, cause));
        return this.#keep(instance);
      });
      await (
        await begun
      ).begun;
      return {};
    }
    const kept = this.#kept.get(id);
    if (kept === undefined) {
      if (this.#isShared(id)) throw elsewhere(id);
      throw new TidemarkError('TM_NOT_FOUND', `the archiver does not capture ${id}`, {
        hint: 'add it with: tidemark instance add',
      });
    }
    if (request.method === 'policy') return kept.followPolicy();
    if (request.method === 'roll') return kept.running.roll();
    if (request.method === 'rekey') {
      kept.assertRunning();
      return (await this.#tde.get(id)?.rekey()) ?? {};
    }
    if (request.method === 'prove') {
      if (request.proof !== undefined) await kept.running.noteProof(request.proof);
      return {};
    }
    const stored = await this.#backup(id, kept, request.mode ?? 'manual');
    return { backup: stored.backup, offset: stored.offset.toString(), from: stored.from };
  }
}

async function aborted(signal: AbortSignal): Promise<null> {
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
  return null;
}

function elsewhere(id: string): TidemarkError {
  return new CatalogError('TM_LOG_OWNER', `another archiver of the fleet captures ${id}`, {
    context: { instance: id },
    hint: 'ask on the host that tidemark status names as its owner',
  });
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** Whether time alone will not mend it. Room in the spool comes back. */
function isHopeless(cause: unknown): boolean {
  return cause instanceof TidemarkError && !cause.retryable && cause.code !== 'TM_SPOOL';
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}
