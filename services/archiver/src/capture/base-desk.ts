import type { SnapshotStored } from '@tidemark/catalog';
import { UsageError } from '@tidemark/core';
import type { BackupMode } from '../control/protocol.ts';
import type { SourceBase } from './capture-source.ts';
import { wantsSnapshot, type LastSnapshot } from '../ship/snapshot-policy.ts';

/** What a base that is wanted is shipped as. */
export interface WantedBase {
  readonly base: SourceBase;
  readonly offset: bigint;
  readonly secondBefore: number | null;
  readonly mode: SnapshotStored['mode'];
}

/** What the desk asks of its owner. */
export interface BaseDeskOptions {
  /**
   * Where an INCR file begins in the open timeline, or a position in it; null when that is not known
   * (yet).
   */
  readonly startOf: (
    seq: number,
    position?: number,
  ) => { readonly offset: bigint; readonly secondBefore: number | null } | null;
  /** The file that is being read, and where. */
  readonly place: () => { readonly seq: number; readonly position: number };
  readonly last: () => LastSnapshot | null;
  readonly nowMs: () => number;
  readonly ship: (wanted: WantedBase) => Promise<SnapshotStored>;
  readonly release: (base: SourceBase) => Promise<void>;
}

const noRdb = (base: SourceBase): UsageError =>
  new UsageError('TM_AOF_BASE', 'the node rewrote its log as commands, which are no snapshot', {
    context: { base: base.name },
    hint: 'set "aof-use-rdb-preamble yes" on the node (CONFIG SET and CONFIG REWRITE); capture and restore work without',
  });

/**
 * Decides what becomes of each base: shipped as a snapshot, one at a time, or let go.
 *
 * A base may be offered before the tail has reached the INCR file that it stands before; it then
 * waits. Only the newest one waits.
 */
export class BaseDesk {
  readonly #options: BaseDeskOptions;
  #waiting: SourceBase | null = null;
  #latestForm: SourceBase['form'] = 'rdb';
  #shipping: Promise<void> | null = null;
  /** Whether what is under way was asked for. */
  #shipsRequest = false;
  #request: {
    readonly stored: Promise<SnapshotStored>;
    readonly mode: BackupMode;
    readonly after: { readonly seq: number; readonly position: number };
    readonly done: (stored: SnapshotStored) => void;
    readonly failed: (cause: unknown) => void;
  } | null = null;

  constructor(options: BaseDeskOptions) {
    this.#options = options;
  }

  /** Whether a snapshot is under way, or a base or a request waits. */
  get occupied(): boolean {
    return this.#shipping !== null || this.#waiting !== null || this.#request !== null;
  }
  /** Whether a snapshot is under way. */
  get isShipping(): boolean {
    return this.#shipping !== null;
  }
  /** Whether a base is waited for that was asked for, or is under way. */
  get requested(): boolean {
    return this.#request !== null || this.#shipsRequest;
  }

  /** Whether the latest base that was seen is an RDB, so that another rewrite would bring one. */
  get rewritesGiveRdb(): boolean {
    return this.#latestForm === 'rdb';
  }

  /** The next base whose rewrite begins after now is wanted, whatever the rule says. */
  request(mode: BackupMode): Promise<SnapshotStored> {
    let done = (_: SnapshotStored): void => undefined;
    let failed = (_: unknown): void => undefined;
    const stored = new Promise<SnapshotStored>((resolve, reject) => {
      done = resolve;
      failed = reject;
    });
    this.#request = { stored, mode, after: this.#options.place(), done, failed };
    return stored;
  }

  /**
   * Ends a request that cannot be met.
   * @param only - What `request` gave; a later request is then left alone.
   */
  refuse(cause: unknown, only: Promise<SnapshotStored> | null = null): void {
    const request = this.#request;
    if (request === null || (only !== null && request.stored !== only)) return;
    this.#request = null;
    request.failed(cause);
  }

  /**
   * A base was seen. One of commands becomes no snapshot, and the empty dataset before the first
   * command is no backup.
   */
  async offer(base: SourceBase): Promise<void> {
    const { form = 'rdb' } = base;
    this.#latestForm = form;
    if (form !== 'rdb' && this.#isRequested(base)) {
      this.refuse(noRdb(base));
    }
    if (form === 'commands') return;
    const replaced = this.#waiting;
    this.#waiting = base;
    if (replaced !== null && replaced.name !== base.name) await this.#options.release(replaced);
    await this.look();
  }

  /** Looks again at the base that waits: the tail went on, or a snapshot was finished. */
  async look(): Promise<void> {
    const base = this.#waiting;
    if (base === null || this.#shipping !== null) return;
    const { startOf, place, last, nowMs, ship, release } = this.#options;
    if (isBefore(place(), base)) return;
    this.#waiting = null;
    const start = startOf(base.alignedSeq, base.position);
    const request = this.#request;
    const requested = request !== null && this.#isRequested(base);
    if (start === null || !wantsSnapshot(last(), { offset: start.offset, requested }, nowMs())) {
      await release(base);
      return;
    }
    if (requested) this.#request = null;
    this.#shipsRequest = requested;
    const mode = requested ? request.mode : last() === null ? 'attach' : 'automated';
    this.#shipping = ship({ base, ...start, mode }).then(
      (stored) => {
        this.#shipsRequest = false;
        if (requested) request.done(stored);
      },
      (cause: unknown) => {
        this.#shipsRequest = false;
        if (requested) request.failed(cause);
      },
    );
    void this.#shipping.then(async () => {
      this.#shipping = null;
      // After a break the log may be read from the same base again: then its pin is still needed.
      if (this.#waiting?.name !== base.name) await release(base).catch(() => undefined);
      await this.look().catch(() => undefined);
    });
  }

  /** Whether it was made after a request. */
  #isRequested({ alignedSeq, position }: SourceBase): boolean {
    if (this.#request === null) return false;
    const { after } = this.#request;
    if (alignedSeq > after.seq) return true;
    return alignedSeq === after.seq && position !== undefined && position >= after.position;
  }

  /** Waits for the snapshot under way, if any. */
  async settled(): Promise<void> {
    await this.#shipping;
  }
}

/** Whether the place of a base is yet to come. */
function isBefore(
  { seq, position }: { readonly seq: number; readonly position: number },
  base: SourceBase,
): boolean {
  return base.alignedSeq > seq || (base.alignedSeq === seq && (base.position ?? 0) > position);
}
