import type { CatalogSegment } from '@tidemark/catalog';

/** Where the log of a plan lies. */
export interface WriterPlace {
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
}

/** From a snapshot, where something starts, to the end of a timeline: nothing starts there. */
export interface Stretch {
  readonly floor: bigint;
  readonly end: bigint;
}

/**
 * What a plan asks of the commands of a log. They hold values: whoever answers opens them, the plan
 * itself reads footers alone.
 */
export interface LookInside {
  /** The last command boundary outside MULTI/EXEC at or before an offset: `snapToBoundary`. */
  boundary(offset: bigint, floor: bigint, segments: readonly CatalogSegment[]): Promise<bigint>;
  /** Sees to it that a command or transaction starts at an offset: `expectCommandStart`. */
  commandStart(offset: bigint, segments: readonly CatalogSegment[], within: Stretch): Promise<void>;
}
