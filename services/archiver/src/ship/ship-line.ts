import type { RolledSegment } from '../capture/timeline-writer.ts';
import type { SegmentShipper } from './segment-shipper.ts';

/** What a ship line works with. */
export interface ShipLineOptions {
  readonly shipper: SegmentShipper;
  readonly onShipped: (segment: RolledSegment) => Promise<void>;
  /** Called once, with the first fault that a retry cannot mend. */
  readonly onFailed: (cause: unknown) => void;
}

/** Ships rolled segments one after the other, in the order they were rolled. */
export class ShipLine {
  readonly #options: ShipLineOptions;
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #failed = false;

  constructor(options: ShipLineOptions) {
    this.#options = options;
  }

  /** Segments, and events between them, that are not yet durable. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Takes a segment; the caller sees to it that not too many wait. */
  add(segment: RolledSegment, provenTo: number | null): void {
    this.run(async () => {
      await this.#options.shipper.ship(segment, provenTo);
      await this.#options.onShipped(segment);
    });
  }

  /** Does something that belongs behind the segments added so far, and before the next one. */
  run(work: () => Promise<void>): void {
    this.#waiting += 1;
    this.#tail = this.#tail.then(async () => {
      try {
        if (!this.#failed) await work();
      } catch (cause) {
        this.#failed = true;
        this.#options.onFailed(cause);
      } finally {
        this.#waiting -= 1;
      }
    });
  }

  /** Resolves when all that was added so far is durable or has failed. */
  async settled(): Promise<void> {
    await this.#tail;
  }
}
