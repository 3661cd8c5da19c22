import { wrappedKeyKey } from '@tidemark/archive';
import {
  holdTdeLatch,
  instanceKeysOf,
  type InstanceLog,
  type LatchPorts,
  type SnapshotStored,
  type Tde,
} from '@tidemark/catalog';
import { collectBytes, KeyError, TidemarkError } from '@tidemark/core';
import { isSameKey, parseWrappedDataKey, type WrappingKey } from '@tidemark/crypto';
import type { Logger } from '../logger.ts';
import type { DataKeys } from '../ship/data-keys.ts';
import type { CaptureKeys } from './capture-keys.ts';

/** Pause after the first backup that failed; it doubles up to the second value. */
const FIRST_PAUSE_MS = 2_000;
const PAUSE_MS_MAX = 300_000;
/** How often the log is looked at unasked: a key may be changed where no socket leads here from. */
const LOOK_MS = 600_000;
/** How often a backup that is being made is asked whether it is done. */
const BUSY_PAUSE_MS = 1_000;
const WRAPPED_BYTES_MAX = 16_384;

/** What looks after the keys of one captured instance works with. */
export interface TdeDeskOptions {
  readonly instance: string;
  readonly log: InstanceLog;
  readonly ports: LatchPorts;
  readonly keys: CaptureKeys;
  readonly dataKeys: DataKeys;
  readonly logger: Logger;
}

/** The part of a capture that it needs. */
export interface BackupMaker {
  backup(): Promise<SnapshotStored>;
}

/** What a rekeying ended in. */
export interface Rekeyed {
  readonly state: Tde['state'];
  readonly backup: string | null;
}

/**
 * Looks after the keys of one instance while it is captured: the latch of TDE is held up in all
 * three places, new data keys are wrapped with the key that the log names, and where TDE is
 * `modifying` a full backup under its key is made, however often that takes.
 *
 * It never unwraps a key: the canary was opened by whoever let the latch fall.
 */
export class TdeDesk {
  readonly #options: TdeDeskOptions;
  #tde: Tde | null = null;
  #wake: () => void = () => undefined;
  /** Those who wait for the outcome of the backup that is to come. */
  #waiting: ((failure: Error | null) => void)[] = [];
  /** Nobody makes a backup any more. */
  #ended = false;

  constructor(options: TdeDeskOptions) {
    this.#options = options;
  }

  /**
   * Reads what the log and the other places say and goes by it from here on.
   * @throws As `holdTdeLatch`; KeyError `TM_KEY_MISSING` when the provider of its key is not configured,
   *   or when the key of the settings must be asked for and is not there.
   */
  async renew(): Promise<Tde> {
    const { instance, log, ports, keys, dataKeys } = this.#options;
    const tde = await holdTdeLatch(log, instance, ports);
    await this.#adopt(tde);
    // A configuration without its key service is found before anything is captured.
    if (tde.latched && tde.key !== null) await keys.adminOf?.(tde.key.provider);
    const wanted = instanceKeysOf(log.state, tde);
    keys.directory?.set(instance, wanted);
    const before = this.#tde;
    this.#tde = tde;
    if (before !== null && isOther(before.latched ? before.key : null, wanted.wrapWith)) {
      dataKeys.renew();
    }
    return tde;
  }

  /**
   * As `renew`, and waits for the full backup where one is to be made.
   * @throws What the next try at it fails with; it is tried again all the same.
   */
  async rekey(): Promise<Rekeyed> {
    const tde = await this.renew();
    this.#options.dataKeys.renew();
    if (!needsBackup(tde)) return { state: tde.state, backup: tde.backup };
    if (this.#ended) throw captureEnded();
    const failure = await new Promise<Error | null>((resolve) => {
      this.#waiting.push(resolve);
      this.#wake();
    });
    if (failure !== null) throw failure;
    return { state: this.#tde?.state ?? tde.state, backup: this.#tde?.backup ?? null };
  }

  /** Makes the backup that is missing whenever one is, until the signal is aborted. */
  async run(capture: BackupMaker, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const isOver = (): boolean => signal.aborted;
    this.#ended = false;
    for (let failures = 0; !isOver();) {
      if (this.#tde === null || !needsBackup(this.#tde)) {
        this.#tell(null);
        failures = 0;
        await this.#pause(signal, LOOK_MS);
        if (!isOver()) await this.#look();
        continue;
      }
      try {
        await this.#finish(capture, this.#tde, signal);
      } catch (cause) {
        const error = cause instanceof Error ? cause : new Error(String(cause));
        this.#tell(error);
        if (isOver()) break;
        const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
        logger.warn('tde-modifying', { code, error: error.message });
        await this.#pause(
          signal,
          Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** Math.min(failures, 16)),
        );
        failures += 1;
      }
    }
    this.#ended = true;
    this.#tell(captureEnded());
  }

  async #finish(capture: BackupMaker, tde: Tde, signal: AbortSignal): Promise<void> {
    const { log, ports, logger } = this.#options;
    const { backup, object } = await this.#backup(capture, signal);
    if (tde.key !== null) await this.#assertWrappedBy(tde.key, object.dekId);
    await log.append((state) =>
      state.tde === null || state.tde.enabledMs !== null
        ? null
        : { type: 'TdeEnabled', backup, atMs: ports.clock.nowMs() },
    );
    await this.renew();
    logger.info('tde-enabled', { backup });
  }

  /** One that is being made may have begun under the key before: another one is made after it. */
  async #backup(capture: BackupMaker, signal: AbortSignal): Promise<SnapshotStored> {
    for (;;) {
      try {
        return await capture.backup();
      } catch (cause) {
        if (!(cause instanceof TidemarkError) || cause.code !== 'TM_BUSY') throw cause;
        await this.#options.ports.clock.sleep(BUSY_PAUSE_MS, signal);
      }
    }
  }

  async #assertWrappedBy(wanted: WrappingKey, dekId: string): Promise<void> {
    const { instance, ports } = this.#options;
    const object = wrappedKeyKey(instance, dekId, 1);
    const bytes = await collectBytes(
      ports.store.get(object),
      WRAPPED_BYTES_MAX,
      () =>
        new KeyError('TM_KEY_FORMAT', 'a wrapped data key is too long', { context: { object } }),
    );
    const wrapped = parseWrappedDataKey(bytes);
    if (isSameKey(wrapped, wanted)) return;
    throw new KeyError('TM_KEY_WRONG', 'the backup was sealed under another key than that of TDE', {
      context: { object, keyId: wrapped.keyId, expected: wanted.keyId },
    });
  }

  /** Keys of a key service stand in the log before the first data key is wrapped with them. */
  async #adopt(tde: Tde): Promise<void> {
    const { instance, log, keys, ports } = this.#options;
    if (tde.latched || keys.name === 'ring' || keys.defaultKey === undefined) return;
    const key = await keys.defaultKey();
    await log.append((state) =>
      state.keys.some((known) => isSameKey(known, key))
        ? null
        : { type: 'KeyAdopted', ...key, atMs: ports.clock.nowMs() },
    );
    this.#options.logger.info('key-in-use', { instance, provider: key.provider });
  }

  /** Until somebody asks, the signal is aborted, or the time is over. */
  async #pause(signal: AbortSignal, pauseMs: number): Promise<void> {
    const asked = new AbortController();
    this.#wake = () => asked.abort(new Error('somebody asks'));
    const either = AbortSignal.any([signal, asked.signal]);
    await this.#options.ports.clock.sleep(pauseMs, either).catch(() => undefined);
  }

  /** As `renew`, unasked: a store that is away is asked again the next time. */
  async #look(): Promise<void> {
    try {
      await this.renew();
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      this.#options.logger.warn('tde-not-read', { code: cause.code, error: cause.message });
    }
  }

  #tell(failure: Error | null): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const tell of waiting) tell(failure);
  }
}

function needsBackup({ state, latched }: Tde): boolean {
  return state === 'modifying' && latched;
}

function isOther(a: WrappingKey | null, b: WrappingKey | null): boolean {
  return a === null || b === null ? a !== b : !isSameKey(a, b);
}

function captureEnded(): TidemarkError {
  return new TidemarkError('TM_ARCHIVER_DOWN', 'the capture ended before the backup was made');
}
