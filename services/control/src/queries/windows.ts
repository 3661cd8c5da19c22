import { computeWindows } from '@tidemark/archive';
import type { Catalog, CatalogTimeline } from '@tidemark/catalog';
import { formatSecond } from '@tidemark/workspace';
import { knownInstance } from './known-instance.ts';
import { timelineDocument, type TimelineDocument } from './timelines.ts';

/** Seconds, each restorable; both ends inclusive. */
export interface SecondRange {
  readonly from: number;
  readonly to: number;
}

/** Seconds of which none is restorable, and why; both ends inclusive. */
export interface SecondHole extends SecondRange {
  readonly reason: string;
  /** What was noted when the capture before it ended; null = nothing. */
  readonly detail: string | null;
}

/** A span of seconds; both ends inclusive, null = open. */
export interface OpenSpan {
  readonly from: number | null;
  readonly to: number | null;
}

/** What can be restored of one shard, in whole Unix seconds. */
export interface ShardWindows {
  readonly shard: string;
  readonly ranges: readonly SecondRange[];
  readonly holes: readonly SecondHole[];
  readonly earliest: number | null;
  readonly latest: number | null;
  /** Later than `latest` while a clock that was set back shows seconds again; else null. */
  readonly again: number | null;
  readonly timelines: readonly TimelineDocument[];
}

/** A range of seconds in a document: RFC 3339 UTC. */
export interface RangeDocument {
  readonly from: string;
  readonly to: string;
}

/** What can be restored, as `windows` and the API show it. Times RFC 3339 UTC. */
export interface WindowsDocument {
  readonly instance: string;
  /** The first and the last second that every shard can be restored to. */
  readonly earliest: string | null;
  readonly latest: string | null;
  /** What is proven, seconds that a clock shows again included. */
  readonly provenTo: string | null;
  readonly shards: readonly {
    readonly shard: string;
    /** How the running archiver holds the files of the node; null when it does not say. */
    readonly pins: string | null;
    readonly ranges: readonly RangeDocument[];
    readonly holes: readonly (RangeDocument & {
      readonly reason: string;
      readonly detail: string | null;
    })[];
    readonly timelines?: readonly TimelineDocument[];
  }[];
}

/**
 * What can be restored of each shard of an instance. The catalog is up to date.
 * @throws UsageError `TM_NOT_FOUND`.
 */
export function shardWindows(catalog: Catalog, id: string): readonly ShardWindows[] {
  const { writers } = knownInstance(catalog, id);
  const shards = [...new Set(writers.map(({ shard }) => shard))];
  const timelines = catalog.timelines(id);
  return (shards.length === 0 ? ['0'] : shards).map((shard) => {
    const spans = shards.length === 0 ? [] : catalog.spans(id, shard);
    const { ranges, holes, earliest, latest } = computeWindows(spans);
    const newest = spans.findLast(({ from }) => from !== null);
    const again = newest?.to != null && newest.to > (latest ?? Infinity) ? newest.to : null;
    const own = timelines.filter((timeline) => timeline.shard === shard);
    return {
      ...{ shard, earliest, latest, again },
      ranges: joinRanges(ranges),
      holes: holes.map((hole) => ({ ...hole, detail: detailOf(hole.from, own) })),
      timelines: own.map(timelineDocument),
    };
  });
}

/** What of the windows is shown. */
export interface WindowsView {
  readonly timelines: boolean;
  readonly pins: string | null;
  /** Only ranges and holes that meet it. */
  readonly span?: OpenSpan;
}

/** The document of them. */
export function windowsDocument(
  id: string,
  shards: readonly ShardWindows[],
  options: WindowsView,
): WindowsDocument {
  const { timelines: withTimelines, pins, span = { from: null, to: null } } = options;
  const { earliest, latest } = commonSeconds(shards);
  const again = Math.min(...shards.map((one) => one.again ?? one.latest ?? -Infinity));
  return {
    instance: id,
    earliest: edge(earliest),
    latest: edge(latest),
    provenTo: edge(Number.isFinite(again) ? again : null),
    shards: shards.map(({ shard, ranges, holes, timelines }) => ({
      shard,
      pins,
      ranges: meeting(ranges, span).map(rangeDocument),
      holes: meeting(holes, span).map((hole) => ({
        ...rangeDocument(hole),
        ...{ reason: hole.reason, detail: hole.detail },
      })),
      ...(withTimelines ? { timelines } : {}),
    })),
  };
}

/** The first and the last second that every shard has; null where one has none. */
export function commonSeconds(shards: readonly Pick<ShardWindows, 'earliest' | 'latest'>[]): {
  readonly earliest: number | null;
  readonly latest: number | null;
} {
  const earliest = Math.max(...shards.map((one) => one.earliest ?? Infinity));
  const latest = Math.min(...shards.map((one) => one.latest ?? -Infinity));
  const isAny = Number.isFinite(earliest) && Number.isFinite(latest) && earliest <= latest;
  return isAny ? { earliest, latest } : { earliest: null, latest: null };
}

/** What of ranges or holes meets a span. */
export function meeting<T extends SecondRange>(
  ranges: readonly T[],
  { from, to }: OpenSpan,
): readonly T[] {
  return ranges.filter(
    (range) => (from === null || range.to >= from) && (to === null || range.from <= to),
  );
}

/** Ranges without a second between them are one window, though on two timelines. */
function joinRanges(ranges: readonly SecondRange[]): readonly SecondRange[] {
  const joined: SecondRange[] = [];
  for (const { from, to } of ranges) {
    const last = joined.at(-1);
    if (last?.to === from - 1) joined.splice(-1, 1, { from: last.from, to });
    else joined.push({ from, to });
  }
  return joined;
}

/** What was noted when the timeline ended that had the second before the hole. */
function detailOf(from: number, timelines: readonly CatalogTimeline[]): string | null {
  const before = timelines.findLast(
    ({ provenTo, closed }) => closed !== null && provenTo !== null && provenTo === from - 1,
  );
  const detail = before?.closed?.detail ?? '';
  return detail === '' ? null : detail;
}

function rangeDocument({ from, to }: SecondRange): RangeDocument {
  return { from: formatSecond(from), to: formatSecond(to) };
}

function edge(second: number | null): string | null {
  return second === null ? null : formatSecond(second);
}
