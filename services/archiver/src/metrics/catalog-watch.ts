import { join } from 'node:path';
import { openCatalog, type Catalog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { CaptureStatus } from '../capture/capture-status.ts';
import { catalogSamples } from './catalog-samples.ts';
import type { MetricSample } from './metric-registry.ts';

/** Least time between two readings of the logs, whoever asks how often. */
const EVERY_MS = 60_000;
/** Longest time that an answer waits for a reading; what was read by then stays. */
const READ_MS_MAX = 5_000;

/** What a catalog watch works with. */
export interface CatalogWatchOptions {
  readonly stateDir: string;
  readonly store: ObjectStore;
  readonly keys: Pick<KeyProvider, 'logKey'>;
  readonly clock: Clock;
  /** How long history is kept where an instance has no policy of its own. */
  readonly retainSeconds: number;
  readonly onFailed: (cause: unknown) => void;
}

/** Windows and backups of captured instances, from the catalog that the command line uses too. */
export class CatalogWatch implements Disposable {
  readonly #options: CatalogWatchOptions;
  #catalog: Catalog | null = null;
  #readMs = -Infinity;

  constructor(options: CatalogWatchOptions) {
    this.#options = options;
  }

  /** The numbers now; logs are read first when that was not done lately. */
  async samples(captures: readonly CaptureStatus[]): Promise<readonly MetricSample[]> {
    const { clock, retainSeconds, stateDir } = this.#options;
    const catalog = (this.#catalog ??= openCatalog({ path: join(stateDir, 'catalog.db') }));
    if (clock.monotonicMs() - this.#readMs >= EVERY_MS) await this.#read(catalog, captures);
    const nowMs = clock.nowMs();
    return captures.flatMap(({ instance, timeline, provenTo }) =>
      catalogSamples(catalog, {
        ...{ instance, retainSeconds, nowMs },
        live: { timeline, provenTo },
      }),
    );
  }

  async #read(catalog: Catalog, captures: readonly CaptureStatus[]): Promise<void> {
    const { store, keys, clock, onFailed } = this.#options;
    try {
      await catalog.sync({
        store,
        instances: captures.map(({ instance }) => instance),
        logKey: (iid) => keys.logKey(iid),
        signal: AbortSignal.timeout(READ_MS_MAX),
      });
      this.#readMs = clock.monotonicMs();
    } catch (cause) {
      // Windows and backups of before are still true. A reading that took too long goes on next time.
      onFailed(cause);
    }
  }

  [Symbol.dispose](): void {
    this.#catalog?.close();
    this.#catalog = null;
  }
}
