import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeAddress } from '@tidemark/client';
import { openInstanceLog, openWriterLog } from '@tidemark/catalog';
import {
  isSafeName,
  makeId,
  TidemarkError,
  UsageError,
  type Clock,
  type Random,
} from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { CaptureLimits } from './capture/capture-options.ts';
import type { CaptureStatus } from './capture/capture-status.ts';
import { NodeCapture } from './capture/node-capture.ts';
import { openControlServer } from './control/control-server.ts';
import type { ControlRequest } from './control/protocol.ts';
import type { Logger } from './logger.ts';
import { SpoolLock } from './ship/spool-lock.ts';
import { Spool } from './ship/spool.ts';

/** Only one shard is captured per instance as long as clusters are not. */
const SHARD = '0';

/** One instance to capture. */
export interface InstanceTarget {
  readonly id: string;
  readonly address: NodeAddress;
  readonly aofDir: string;
}

/** What an archiver runs on; adapters come from main.ts. */
export interface ArchiverOptions {
  readonly stateDir: string;
  readonly spoolBytesMax: number;
  readonly limits: CaptureLimits;
  readonly takeOver: boolean;
  readonly instances: readonly InstanceTarget[];
  /** Reads the configuration again when an instance is to be attached while running. */
  readonly findInstance: (id: string) => Promise<InstanceTarget | null>;
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

interface Running {
  readonly capture: NodeCapture;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/** Path of the control socket in a state folder. */
export function controlSocketPath(stateDir: string): string {
  return join(stateDir, 'control.sock');
}

/** Captures a set of instances and answers on the control socket until it is told to stop. */
export class Archiver {
  readonly #options: ArchiverOptions;
  readonly #running = new Map<string, Running>();
  /** Attaching and detaching take turns: two claims of one log would depose each other. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #ownerId = '';
  #failure: Error | null = null;
  #failed: (() => void) | null = null;

  constructor(options: ArchiverOptions) {
    this.#options = options;
  }

  /**
   * Runs until the signal is aborted; then every capture ships what it has and releases its log.
   * @throws CatalogError `TM_LOG_OWNER` when another archiver owns a log or the spool.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { stateDir, instances, logger } = this.#options;
    const spoolDir = join(stateDir, 'spool');
    await mkdir(spoolDir, { recursive: true, mode: 0o700 });
    using _lock = new SpoolLock(join(spoolDir, 'lock.db'));
    this.#ownerId = await this.#readOwnerId(join(spoolDir, 'owner'));
    await using _control = await openControlServer(controlSocketPath(stateDir), (request) =>
      this.#answer(request),
    );
    try {
      for (const instance of instances) await this.#inTurn(() => this.#attach(instance));
      if (instances.length === 0) logger.warn('no-instances');
      await new Promise<void>((resolve) => {
        this.#failed = resolve;
        if (signal.aborted || this.#failure !== null) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      logger.info('stopping');
    } finally {
      this.#stopping = true;
      await this.#stopAll();
      // One that was being attached when the end came.
      await this.#inTurn(() => this.#stopAll());
    }
    if (this.#failure !== null) throw this.#failure;
    logger.info('stopped');
  }

  async #stopAll(): Promise<void> {
    for (const { stop } of this.#running.values()) stop.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  async #attach(target: InstanceTarget): Promise<void> {
    if (this.#stopping) throw new TidemarkError('TM_ARCHIVER_DOWN', 'the archiver is stopping');
    const { store, keys, clock, random, logger, stateDir, spoolBytesMax, limits, takeOver } =
      this.#options;
    if (this.#running.has(target.id)) return;
    const logKey = await keys.logKey(target.id);
    const writer = await this.#writerOf(target.id, logKey);
    const log = await openWriterLog({
      store,
      iid: target.id,
      shard: SHARD,
      writer,
      logKey,
      clock,
      random,
    });
    await log.claim({ ownerId: this.#ownerId, takeOver, heartbeatMs: limits.heartbeatMs });
    const capture = new NodeCapture({
      instance: target.id,
      shard: SHARD,
      writer,
      address: target.address,
      aofDir: target.aofDir,
      store,
      keys,
      spool: await Spool.open(join(stateDir, 'spool', target.id), spoolBytesMax),
      log,
      clock,
      random,
      logger: logger.child({ instance: target.id }),
      limits,
    });
    const stop = new AbortController();
    const done = capture.run(stop.signal).catch((cause: unknown) => {
      if (stop.signal.aborted && cause === stop.signal.reason) return;
      this.#fail(target.id, cause);
    });
    this.#running.set(target.id, { capture, stop, done });
  }

  async #detach(id: string): Promise<void> {
    const running = this.#running.get(id);
    if (running === undefined) return;
    running.stop.abort();
    await running.done;
    this.#running.delete(id);
  }

  /** The writer of an instance: registered once, then the same for good. */
  async #writerOf(
    iid: string,
    logKey: Awaited<ReturnType<KeyProvider['logKey']>>,
  ): Promise<string> {
    const { store, clock, random } = this.#options;
    const log = await openInstanceLog({ store, iid, logKey, clock, random });
    await log.append((state) =>
      state.writers.some(isOurs)
        ? null
        : {
            type: 'WriterRegistered',
            shard: SHARD,
            writer: `w-${makeId(clock.nowMs(), random)}`,
            source: 'aof',
            atMs: clock.nowMs(),
          },
    );
    const ours = log.state.writers.find(isOurs);
    if (ours === undefined) throw new TidemarkError('TM_INTERNAL', 'no writer is registered');
    return ours.writer;
  }

  async #answer(request: ControlRequest): Promise<unknown> {
    if (request.method === 'status') {
      const captures: CaptureStatus[] = [...this.#running.values()].map(({ capture }) =>
        capture.status(),
      );
      return { pid: process.pid, captures };
    }
    const id = request.instance ?? '';
    if (request.method === 'detach') {
      await this.#inTurn(() => this.#detach(id));
      return {};
    }
    if (request.method === 'attach') {
      const target = await this.#options.findInstance(id);
      if (target === null) throw new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`);
      await this.#inTurn(() => this.#attach(target));
      return {};
    }
    const running = this.#running.get(id);
    if (running === undefined) {
      throw new TidemarkError('TM_NOT_FOUND', `the archiver does not capture ${id}`, {
        hint: 'add it with: tidemark instance add',
      });
    }
    if (request.method === 'roll') return running.capture.roll();
    const stored = await running.capture.backup();
    return { backup: stored.backup, offset: stored.offset.toString(), from: stored.from };
  }

  async #readOwnerId(path: string): Promise<string> {
    const known = await readFile(path, 'utf8').catch((cause: unknown) => {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return '';
      throw cause;
    });
    const id = known.trim();
    if (isSafeName(id)) return id;
    // None yet, or one that a crash left torn: then the logs are free after three heartbeats.
    const fresh = makeId(this.#options.clock.nowMs(), this.#options.random);
    await writeFile(`${path}.tmp`, `${fresh}\n`, { mode: 0o600, flush: true });
    await rename(`${path}.tmp`, path);
    return fresh;
  }

  #fail(instance: string, cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    const code = error instanceof TidemarkError ? error.code : 'TM_INTERNAL';
    this.#options.logger.error('capture-failed', { instance, code, error: error.message });
    this.#failure ??= error;
    this.#failed?.();
  }
}

function isOurs(writer: {
  readonly shard: string;
  readonly source: string;
  readonly retiredMs: number | null;
}): boolean {
  return writer.shard === SHARD && writer.source === 'aof' && writer.retiredMs === null;
}
