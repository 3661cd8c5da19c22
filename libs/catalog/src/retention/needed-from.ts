import { stretchesOf } from '@tidemark/archive';
import type { Lease } from '../model/instance-state.ts';
import { isGivenUp } from './droppable.ts';
import {
  earlier,
  type Position,
  type RetentionShard,
  type RetentionTimeline,
  type RetentionWriter,
} from './history.ts';
import { servingOffset } from './serving.ts';
import { witnessedSince } from './witnessed-time.ts';

/** What is to stay restorable in a shard. */
export interface KeepRules {
  /** How long history is kept, in seconds. */
  readonly retainSeconds: number;
  /** The newest so many snapshots are kept, however old they are. Default: one. */
  readonly keepLast?: number;
  /** Readers of history that are at work. */
  readonly leases: readonly Pick<Lease, 'fromSecond'>[];
}

/**
 * Where each writer of a shard must begin so that nothing is lost that is to stay restorable; null =
 * nothing of the writer is needed.
 *
 * Kept is: every second after which less than the retention was seen to pass, on whatever timeline;
 * every restorable second within the retention before the latest one; what a lease reads; the newest
 * snapshots of the shard, as many as the rules say; and all of a timeline that waits for its first
 * snapshot, for one that is closed may be waiting for it too. Of one writer all is kept from the first
 * thing needed on.
 *
 * A snapshot whose key was destroyed serves nothing: an older one is kept in its place. One that was
 * deleted is none of the newest ones, and is kept for seconds that it serves alone.
 */
export function neededFrom(
  shard: RetentionShard,
  rules: KeepRules,
): ReadonlyMap<string, Position | null> {
  const timelines = inOrder(shard).map(withServing);
  const needs = new Needs(shard);
  keepWitnessed(timelines, rules.retainSeconds, needs);
  const latest = latestSecond(timelines);
  if (latest !== null) {
    const range = { from: latest - rules.retainSeconds + 1, to: latest };
    for (const span of timelines) keepSeconds(span, range, needs);
  }
  for (const { fromSecond } of rules.leases) {
    for (const span of timelines) {
      keepSeconds(span, { from: fromSecond, to: Infinity }, needs);
      for (const { from, offset } of span.snapshots) {
        if (from >= fromSecond) needs.add(span.timeline, offset);
      }
    }
  }
  const snapshots = timelines.flatMap(({ timeline, snapshots: all }) =>
    all.flatMap(({ offset, deleted }) => (deleted === true ? [] : { timeline, offset })),
  );
  for (const { timeline, offset } of snapshots.slice(-Math.max(1, rules.keepLast ?? 1))) {
    needs.add(timeline, offset);
  }
  for (const { timeline, open, snapshots: own } of timelines) {
    if (open) needs.add(timeline, own.at(-1)?.offset ?? 0n);
  }
  return needs.byWriter;
}

/** Timelines of a shard in the order of their opening. */
export function inOrder({ writers, order }: RetentionShard): readonly RetentionTimeline[] {
  const all = new Map(
    writers.flatMap(({ timelines }) => timelines.map((each) => [each.timeline, each] as const)),
  );
  return order.flatMap((timeline) => all.get(timeline) ?? []);
}

/** Where its key was destroyed a snapshot is only bytes. */
function withServing(span: RetentionTimeline): RetentionTimeline {
  return { ...span, snapshots: span.snapshots.filter(({ shredded }) => shredded !== true) };
}

class Needs {
  readonly byWriter: Map<string, Position | null>;
  readonly #writers: readonly RetentionWriter[];

  constructor({ writers }: RetentionShard) {
    this.#writers = writers;
    this.byWriter = new Map(writers.map(({ writer }) => [writer, null]));
  }

  add(timeline: string, offset: bigint): void {
    for (const { writer, timelines } of this.#writers) {
      const index = timelines.findIndex((each) => each.timeline === timeline);
      if (index < 0) continue;
      this.byWriter.set(writer, earlier(this.byWriter.get(writer) ?? null, { index, offset }));
    }
  }
}

function keepWitnessed(
  timelines: readonly RetentionTimeline[],
  retainSeconds: number,
  needs: Needs,
): void {
  const oldest = witnessedSince(timelines, retainSeconds);
  const at = timelines.findIndex(({ timeline }) => timeline === oldest?.timeline);
  for (const span of timelines.slice(Math.max(at, 0))) {
    if (isGivenUp(span)) continue;
    const [first] = span.snapshots;
    const stretch = stretchesOf(span).find(({ index }) => index === oldest?.stretch);
    if (span.timeline === oldest?.timeline && stretch !== undefined) {
      needs.add(span.timeline, servingOffset(span, stretch, oldest.second));
    } else {
      // Without one it waits: a snapshot that is being stored may still come, of any offset.
      needs.add(span.timeline, first?.offset ?? 0n);
    }
  }
}

function keepSeconds(
  span: RetentionTimeline,
  range: { readonly from: number; readonly to: number },
  needs: Needs,
): void {
  for (const stretch of stretchesOf(span)) {
    const { restorable } = stretch;
    if (restorable === null || restorable.to < range.from || restorable.from > range.to) continue;
    const second = Math.max(restorable.from, range.from);
    needs.add(span.timeline, servingOffset(span, stretch, second));
  }
}

/** The latest second that the newest timeline proves; a clock that was set back made it earlier. */
function latestSecond(timelines: readonly RetentionTimeline[]): number | null {
  for (const span of [...timelines].reverse()) {
    const stretch = stretchesOf(span).findLast(({ restorable }) => restorable !== null);
    if (stretch?.restorable != null) return stretch.restorable.to;
  }
  return null;
}
