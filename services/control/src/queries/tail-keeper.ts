import type { Catalog } from '@tidemark/catalog';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { CatalogKeeper } from './catalog-keeper.ts';
import { knownInstance } from './known-instance.ts';

/** An answer is given up after so long; one that comes later is still of use to who asks then. */
const ROLL_MS = 15_000;
/** How long who only looks waits for it. */
const LOOK_MS = 2_000;
/** Between two rolls of an instance: for who looks, for who acts, and after one that failed. */
const LOOK_PAUSE_MS = 5_000;
const ACT_PAUSE_MS = 1_000;
const FAILED_PAUSE_MS = 15_000;
/** A window that ends so shortly before now is as fresh as samples make it. */
const FRESH_SECONDS = 2;

/** What the end of the history is asked with. */
export interface TailParts {
  readonly workspace: Pick<Workspace, 'askArchiver' | 'catalog'>;
  readonly fresh: Pick<CatalogKeeper, 'of'>;
  /** Rolls are not asked for more often than the archiver makes them by itself. */
  readonly rollMaxAgeMs: number;
  readonly clock: Clock;
  /** Ends asking when the process ends. */
  readonly signal: AbortSignal;
}

/** One roll of an instance that was asked for. */
interface Roll {
  /** Monotonic. */
  readonly startedMs: number;
  endedMs: number | null;
  failed: boolean;
  readonly done: Promise<void>;
}

/**
 * Brings the history of an instance up to now, for whoever asks: the archiver of this host is told to
 * ship what it has, by one caller for all, and again only after a pause; a page that polls makes no
 * more segments than that. Where no archiver answers, what is stored is all there is.
 */
export class TailKeeper {
  readonly #parts: TailParts;
  readonly #rolls = new Map<string, Roll>();

  constructor(parts: TailParts) {
    this.#parts = parts;
  }

  /**
   * The catalog for who looks at the windows: up to a second, null = now. It comes within about two
   * seconds, however the archiver is.
   * @throws UsageError `TM_NOT_FOUND`; as `CatalogKeeper.of`.
   */
  async look(instance: string, second: number | null): Promise<Catalog> {
    const { fresh, rollMaxAgeMs, clock } = this.#parts;
    const catalog = await fresh.of(instance);
    const newest = Math.floor(clock.nowMs() / 1000) - FRESH_SECONDS;
    if (!this.#lacks(instance, Math.min(second ?? newest, newest))) return catalog;
    const pauseMs = Math.max(LOOK_PAUSE_MS, rollMaxAgeMs);
    if (this.#pauseLeft(instance, pauseMs) > 0) return catalog;
    return this.#read(instance, this.#rollOf(instance), LOOK_MS, null);
  }

  /**
   * The catalog for who is about to act on a second, or, with null, on the newest state there is: of a
   * roll that began after this call. It waits for the archiver, at most 15 s and a pause.
   * @throws UsageError `TM_NOT_FOUND`; as `CatalogKeeper.of`; the reason of the signal.
   */
  async act(instance: string, second: number | null, signal: AbortSignal): Promise<Catalog> {
    const { fresh, clock } = this.#parts;
    const catalog = await fresh.of(instance);
    if (second !== null && !this.#lacks(instance, second)) return catalog;
    const before = this.#rolls.get(instance);
    if (before?.endedMs === null) await this.#within(before, ROLL_MS, signal);
    const pauseMs = this.#pauseLeft(instance, ACT_PAUSE_MS);
    if (pauseMs > 0 && this.#rolls.get(instance)?.failed === true) return fresh.of(instance, 0);
    if (pauseMs > 0) await clock.sleep(pauseMs, signal);
    return this.#read(instance, this.#rollOf(instance), ROLL_MS, signal);
  }

  /** Whether what is stored of an instance does not prove this second. */
  #lacks(instance: string, second: number): boolean {
    const { catalog } = this.#parts.workspace;
    knownInstance(catalog, instance);
    const shards = new Map<string, number>();
    for (const { shard, state } of catalog.writers(instance)) {
      const proven = state.timeline?.provenTo ?? -Infinity;
      shards.set(shard, Math.max(shards.get(shard) ?? -Infinity, proven));
    }
    return Math.min(...shards.values()) < second;
  }

  /** 0 while one runs: it is shared. */
  #pauseLeft(instance: string, pauseMs: number): number {
    const last = this.#rolls.get(instance);
    if (last === undefined || last.endedMs === null) return 0;
    const wanted = last.failed ? Math.max(pauseMs, FAILED_PAUSE_MS) : pauseMs;
    return Math.max(0, last.startedMs + wanted - this.#parts.clock.monotonicMs());
  }

  /** The one that runs, or a new one. */
  #rollOf(instance: string): Roll {
    const last = this.#rolls.get(instance);
    if (last !== undefined && last.endedMs === null) return last;
    const { clock } = this.#parts;
    const roll: Roll = {
      ...{ startedMs: clock.monotonicMs(), endedMs: null, failed: true },
      done: this.#ask(instance)
        .then((failed) => {
          roll.failed = failed;
        })
        .finally(() => {
          roll.endedMs = clock.monotonicMs();
        }),
    };
    this.#rolls.set(instance, roll);
    return roll;
  }

  /** @returns Whether it failed; that no archiver runs is known at once, and may change at once. */
  async #ask(instance: string): Promise<boolean> {
    const { workspace, signal, clock } = this.#parts;
    const fromMs = clock.monotonicMs();
    try {
      const asked = { timeoutMs: ROLL_MS, signal };
      const answer = await workspace.askArchiver('roll', instance, asked);
      return answer === null && clock.monotonicMs() - fromMs >= ROLL_MS;
    } catch (cause) {
      // It does not capture this instance, or cannot ship now: what is stored can still be used.
      if (!(cause instanceof TidemarkError) && !signal.aborted) throw cause;
      return true;
    }
  }

  async #read(
    instance: string,
    roll: Roll,
    waitMs: number,
    signal: AbortSignal | null,
  ): Promise<Catalog> {
    await this.#within(roll, waitMs, signal);
    const { fresh, clock } = this.#parts;
    const sinceMs = roll.endedMs ?? clock.monotonicMs();
    return fresh.of(instance, clock.monotonicMs() - sinceMs);
  }

  /** Waits for the end of a roll, but no longer than this. */
  async #within(roll: Roll, waitMs: number, signal: AbortSignal | null): Promise<void> {
    const over = new AbortController();
    const until = signal === null ? over.signal : AbortSignal.any([signal, over.signal]);
    const late = this.#parts.clock.sleep(waitMs, until).catch(() => undefined);
    await Promise.race([roll.done, late]);
    over.abort();
    signal?.throwIfAborted();
  }
}
