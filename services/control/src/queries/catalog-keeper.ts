import type { Catalog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';

/** Everything, rather than one instance. */
const ALL = '';
const MAX_AGE_MS = 1_000;

interface Sync {
  /** Monotonic, when it began: what was stored before that is known once it is done. */
  readonly startedMs: number;
  readonly done: Promise<void>;
}

/** What is kept up to date. */
export interface KeptCatalog {
  readonly workspace: Pick<Workspace, 'sync' | 'catalog'>;
  readonly clock: Clock;
  /** Ends reading when the process ends. */
  readonly signal: AbortSignal;
}

/**
 * Keeps the catalog as young as its readers ask for: however many ask at once, the log of an instance
 * is read by one of them, and not again while that is young enough.
 */
export class CatalogKeeper {
  readonly #kept: KeptCatalog;
  readonly #last = new Map<string, Sync>();

  constructor(kept: KeptCatalog) {
    this.#kept = kept;
  }

  /**
   * The catalog with everything that the log of an instance held so long ago. An instance that the
   * store does not have is no fault here: the catalog does not know it then.
   * @param maxAgeMs - 0: the log is read after this call.
   * @throws As `Workspace.sync`.
   */
  async of(instance: string, maxAgeMs: number = MAX_AGE_MS): Promise<Catalog> {
    return this.#read(instance, maxAgeMs);
  }

  /** The same of every instance. */
  async all(maxAgeMs: number = MAX_AGE_MS): Promise<Catalog> {
    return this.#read(ALL, maxAgeMs);
  }

  async #read(what: string, maxAgeMs: number): Promise<Catalog> {
    const { clock, workspace } = this.#kept;
    const oldest = clock.monotonicMs() - maxAgeMs;
    for (;;) {
      const last = this.#youngest(what);
      if (last !== undefined && last.startedMs >= oldest) {
        await last.done;
        return workspace.catalog;
      }
      // One at a time: an older one is waited for before the next begins. That it failed is told to
      // those who asked for it.
      const running = this.#last.get(what);
      if (running === undefined) this.#begin(what);
      else await running.done.catch(() => undefined).then(() => this.#forget(what, running));
    }
  }

  #youngest(what: string): Sync | undefined {
    const [own, all] = [this.#last.get(what), this.#last.get(ALL)];
    if (own === undefined || all === undefined) return own ?? all;
    return own.startedMs >= all.startedMs ? own : all;
  }

  #begin(what: string): void {
    const { clock, workspace, signal } = this.#kept;
    const only = what === ALL ? null : what;
    const startedMs = clock.monotonicMs();
    const done = workspace.sync(signal, only).then(() => {
      // Names that somebody made up are not remembered.
      const isKnown =
        only === null || workspace.catalog.instances().some((one) => one.iid === only);
      if (!isKnown) this.#forget(what, sync);
    });
    const sync: Sync = { startedMs, done };
    this.#last.set(what, sync);
    done.catch(() => this.#forget(what, sync));
  }

  #forget(what: string, sync: Sync): void {
    if (this.#last.get(what) === sync) this.#last.delete(what);
  }
}
