import { FactsWatch, type FactsWatchOptions } from '../facts/facts-watch.ts';
import { SegmentLevels } from '../levels/segment-levels.ts';

/** What runs beside the capture of a node: it stores the facts of the node and merges segments. */
export class SideWork {
  readonly #facts: FactsWatch;
  readonly #levels: SegmentLevels;

  constructor(options: FactsWatchOptions) {
    this.#facts = new FactsWatch(options);
    this.#levels = new SegmentLevels({ ...options, copies: options.capture.copies });
  }

  /**
   * Works until the signal is aborted.
   * @throws CatalogError when another owner has taken the log.
   */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#facts.run(signal), this.#levels.run(signal)]);
  }
}
