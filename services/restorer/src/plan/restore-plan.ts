import type { SegmentHeader } from '@tidemark/archive';
import type { CatalogSnapshot, StoredObject } from '@tidemark/catalog';
import type { Closure } from '../closure/closure.ts';
import type { TtlRule } from './ttl-rule.ts';

/** Where a restore stops. */
export interface PlannedCut {
  readonly timeline: string;
  /** Exclusive offset. */
  readonly offset: bigint;
  /** Everything that is left out started at this time or later; null = nothing is left out. */
  readonly notBeforeMs: number | null;
  /** Everything that is replayed started at this time or earlier; null = not known. */
  readonly notAfterMs: number | null;
}

/** One object of the store, as the log names it. */
export interface PlannedObject {
  readonly ref: StoredObject;
  readonly timeline: string;
  /** Offset at which it starts or stands. */
  readonly start: bigint;
}

/** Bytes `[from, to)` of the command stream, out of one segment. */
export interface PlannedRead {
  readonly object: PlannedObject;
  readonly header: SegmentHeader;
  readonly from: bigint;
  readonly to: bigint;
}

/** Everything a restore does, fixed before it begins: the same plan gives the same bytes. */
export interface RestorePlan {
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
  /** The server that wrote it, as it was when the timeline was opened. */
  readonly source: { readonly product: 'redis' | 'valkey'; readonly version: string };
  /** The wanted second; null for a restore to an offset or a backup. */
  readonly at: number | null;
  readonly cut: PlannedCut;
  readonly ttl: TtlRule;
  readonly snapshot: CatalogSnapshot;
  readonly snapshotObject: PlannedObject;
  readonly reads: readonly PlannedRead[];
  /** What is replayed of them for the keys that are wanted; null: all of it. */
  readonly closure: Closure | null;
  /** Lowest `databases` setting that the target needs. */
  readonly databases: number;
  /** Sealed bytes to be read, and bytes to be fed, as far as they are known. */
  readonly sealedBytes: number;
  readonly feedBytes: number;
}
