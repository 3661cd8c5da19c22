import type { SecondRange, TimelineSpan } from '@tidemark/archive';

/** What retention looks at in a snapshot. */
export interface RetentionSnapshot {
  readonly backup: string;
  readonly offset: bigint;
  /** First second that it serves. */
  readonly from: number;
  /** Its data key was destroyed: it serves nothing, and goes like the rest. */
  readonly shredded?: boolean;
  /** Somebody gave it up: it is kept only for the seconds that it serves. */
  readonly deleted?: boolean;
}

/** Seconds of a stretch in which the log was written, with pauses of a minute at most. */
export interface WrittenSeconds extends SecondRange {
  /** How many steps back of the clock lie before it in its timeline. */
  readonly stretch: number;
}

/** What retention looks at in a timeline. */
export interface RetentionTimeline extends TimelineSpan {
  /** Durable end. */
  readonly end: bigint;
  /** While it is open a snapshot of any offset may still come. */
  readonly open: boolean;
  /** Nothing is missing between it and the timeline after it. */
  readonly joinedOn?: boolean;
  /** By offset. */
  readonly snapshots: readonly RetentionSnapshot[];
  /** In order and disjoint within a stretch; unknown = all of it was written. */
  readonly written?: readonly WrittenSeconds[];
}

/** The history of one writer. */
export interface RetentionWriter {
  readonly writer: string;
  /** In the order of their opening. */
  readonly timelines: readonly RetentionTimeline[];
}

/** The history of one shard, as the folds of its writers tell it. */
export interface RetentionShard {
  readonly shard: string;
  readonly writers: readonly RetentionWriter[];
  /** Timelines of all its writers in the order of their opening. */
  readonly order: readonly string[];
}

/**
 * The beginning of what is kept of a writer: timelines opened before `timeline` are gone; of it,
 * snapshots before `offset` and segments that end at or before it.
 */
export interface RetentionFloor {
  readonly writer: string;
  readonly timeline: string;
  readonly offset: bigint;
}

/** A place in the history of a writer: the index of a timeline, and an offset in it. */
export interface Position {
  readonly index: number;
  readonly offset: bigint;
}

/** Whether `a` lies before `b`. */
export function isBefore(a: Position, b: Position): boolean {
  return a.index !== b.index ? a.index < b.index : a.offset < b.offset;
}

/** The earlier of two places; null = none. */
export function earlier(a: Position | null, b: Position | null): Position | null {
  if (a === null || b === null) return a ?? b;
  return isBefore(b, a) ? b : a;
}

/** Where a floor stands; null when its timeline is not known (any more). */
export function positionOf(writer: RetentionWriter, floor: RetentionFloor): Position | null {
  const index = writer.timelines.findIndex(({ timeline }) => timeline === floor.timeline);
  return index < 0 ? null : { index, offset: floor.offset };
}

/** A shard without what lies below floors: what stays visible of it. */
export function withFloors(
  shard: RetentionShard,
  floors: readonly RetentionFloor[],
): RetentionShard {
  const writers = shard.writers.map((writer) => {
    const floor = floors.find((each) => each.writer === writer.writer);
    const at = floor === undefined ? null : positionOf(writer, floor);
    return at === null ? writer : { ...writer, timelines: above(writer.timelines, at) };
  });
  return { ...shard, writers };
}

/** A shard without single backups. */
export function withoutBackups(
  shard: RetentionShard,
  backups: ReadonlySet<string>,
): RetentionShard {
  if (backups.size === 0) return shard;
  const writers = shard.writers.map((writer) => ({
    ...writer,
    timelines: writer.timelines.map((each) =>
      beginAt(
        each,
        each.snapshots.filter(({ backup }) => !backups.has(backup)),
      ),
    ),
  }));
  return { ...shard, writers };
}

function above(
  timelines: readonly RetentionTimeline[],
  { index, offset }: Position,
): RetentionTimeline[] {
  const [first, ...later] = timelines.slice(index);
  if (first === undefined) return [];
  const snapshots = first.snapshots.filter((one) => one.offset >= offset);
  return [beginAt(first, snapshots), ...later];
}

function beginAt(
  span: RetentionTimeline,
  snapshots: readonly RetentionSnapshot[],
): RetentionTimeline {
  const [oldest] = snapshots;
  const from = oldest?.from ?? null;
  return { ...span, snapshots, from, fromOffset: oldest?.offset ?? null };
}
