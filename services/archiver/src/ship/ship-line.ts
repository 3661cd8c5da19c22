import type { RolledSegment } from '../capture/timeline-writer.ts';
import type { Backlog } from './backlog.ts';
import type { SealedSegment, SegmentShipper } from './segment-shipper.ts';

/** What a ship line works with. */
export interface ShipLineOptions {
  readonly shipper: Pick<SegmentShipper, 'seal'>;
  readonly backlog: Pick<Backlog, 'add'>;
  /** A segment lies sealed in the spool. */
  readonly onSealed: (sealed: SealedSegment) => void;
  /** Called once, with the first fault that a retry cannot mend. */
  readonly onFailed: (cause: unknown) => void;
}

/** Seals rolled segments one after the other, in the order they were rolled, into the backlog. */
export class ShipLine {
  readonly #options: ShipLineOptions;
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #failed = false;

  constructor(options: ShipLineOptions) {
    this.#options = options;
  }

  /** Segments, and events between them, that are still in memory only. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Takes a segment; the caller sees to it that not too many wait. */
  add(segment: RolledSegment, provenTo: number | null): void {
    const { shipper, backlog, onSealed } = this.#options;
    this.run(async () => {
      const sealed = await shipper.seal(segment, provenTo);
      backlog.add(sealed.name, sealed.event);
      onSealed(sealed);
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

  /** Resolves when all that was added so far lies in the spool or has failed. */
  async sealed(): Promise<void> {
    await this.#tail;
  }
}
