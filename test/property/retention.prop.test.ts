import { computeWindows, planReads, stretchesOf } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import {
  withFloors,
  type RetentionFloor,
  type RetentionSnapshot,
} from '../../libs/catalog/src/retention/history.ts';
import { isFree } from '../../libs/catalog/src/retention/recheck.ts';
import { inOrder } from '../../libs/catalog/src/retention/needed-from.ts';
import {
  planRetention,
  type RetentionPlan,
} from '../../libs/catalog/src/retention/plan-retention.ts';
import {
  liveRandomly,
  numbers,
  type TrueHistory,
  type TrueSecond,
} from '../support/random-history.ts';

const CATALOGUES = 1_000;

/** What is left of a history: exactly what a plan says. */
class Left {
  readonly snapshots: (RetentionSnapshot & { readonly timeline: string })[];
  readonly segments: TrueHistory['segments'];

  constructor(
    history: TrueHistory,
    floors: readonly RetentionFloor[],
    dropped: ReadonlySet<string> = new Set(),
  ) {
    const { writers } = history.shard;
    const gone = (timeline: string, reaches: (offset: bigint) => boolean): boolean => {
      const writer = writers.find((each) => each.timelines.some((t) => t.timeline === timeline));
      const floor = floors.find((each) => each.writer === writer?.writer);
      if (writer === undefined || floor === undefined) return false;
      const names = writer.timelines.map((each) => each.timeline);
      const [at, begin] = [names.indexOf(timeline), names.indexOf(floor.timeline)];
      return at < begin || (at === begin && !reaches(floor.offset));
    };
    this.snapshots = writers.flatMap(({ timelines }) =>
      timelines.flatMap(({ timeline, snapshots }) =>
        snapshots
          .filter(({ offset }) => !gone(timeline, (floor) => offset >= floor))
          .filter(({ backup }) => !dropped.has(backup))
          .map((one) => ({ timeline, ...one })),
      ),
    );
    this.segments = history.segments.filter(
      ({ timeline, end }) => !gone(timeline, (floor) => end > floor),
    );
  }

  /** Whether everything is there that a restore of the second reads. */
  restores(second: TrueSecond): boolean {
    return this.baseOf(second) !== null;
  }

  /** The backup that a restore of the second begins with; null where it cannot be restored. */
  baseOf({ timeline, cut }: TrueSecond): string | null {
    try {
      const { segments } = this;
      const snapshots = this.snapshots.filter(({ shredded }) => shredded !== true);
      return planReads({ snapshots, segments, timeline, cutOffset: cut }).snapshot.backup;
    } catch {
      return null;
    }
  }
}

/** Seconds that can be restored, each on its timeline, though another one may be current then. */
function restorable(history: TrueHistory): readonly TrueSecond[] {
  const spans = inOrder(history.shard);
  return history.seconds.filter(({ timeline, stretch, shown }) => {
    const span = spans.find((each) => each.timeline === timeline);
    const own = span && stretchesOf(span).find(({ index }) => index === stretch)?.restorable;
    return own != null && own.from <= shown && shown <= own.to;
  });
}

function plan(
  history: TrueHistory,
  retainSeconds: number,
  over: { fromSecond?: number; shareMax?: number; keepLast?: number } = {},
): RetentionPlan {
  const { fromSecond, shareMax = 1, keepLast = 1 } = over;
  const all = new Left(history, []);
  const bytes = ({ snapshots, segments }: Left): number =>
    snapshots.length * history.bytesOfSnapshot +
    segments.reduce((sum, { start, end }) => sum + Number(end - start), 0);
  const amount = (left: Left): { objects: number; bytes: number } => ({
    objects: left.snapshots.length + left.segments.length,
    bytes: bytes(left),
  });
  const total = amount(all);
  const lease = { lease: 'l', purpose: 'restore' as const, untilMs: 1 };
  return planRetention({
    shards: [history.shard],
    ...{ retainSeconds, keepLast },
    leases: fromSecond === undefined ? [] : [{ ...lease, fromSecond }],
    nowMs: 0,
    shareMax,
    ...{ writersMax: 8, backupsMax: 64 },
    sizes: {
      ofBackup: (backup) => ({
        objects: all.snapshots.filter((one) => one.backup === backup).length,
        bytes: history.bytesOfSnapshot,
      }),
      total,
      below: (floor) => {
        const left = amount(new Left(history, [floor]));
        return { objects: total.objects - left.objects, bytes: total.bytes - left.bytes };
      },
    },
  });
}

const floorsOf = ({ steps }: RetentionPlan): RetentionFloor[] => steps.map(({ floor }) => floor);

/** The history after some of its backups were given up. */
function deleteSome(history: TrueHistory, next: () => number): TrueHistory {
  const writers = history.shard.writers.map((writer) => ({
    ...writer,
    timelines: writer.timelines.map((span) => ({
      ...span,
      snapshots: span.snapshots.map((one) => (next() < 0.5 ? { ...one, deleted: true } : one)),
    })),
  }));
  return { ...history, shard: { ...history.shard, writers } };
}

/** The history after the key of one of its backups was destroyed; null where it has none. */
function shredOne(history: TrueHistory, pick: number): TrueHistory | null {
  const { writers } = history.shard;
  const all = writers.flatMap(({ timelines }) => timelines.flatMap((each) => each.snapshots));
  const lost = all[Math.floor(pick * all.length)];
  if (lost === undefined) return null;
  const shredded = writers.map((writer) => ({
    ...writer,
    timelines: writer.timelines.map((span) => ({
      ...span,
      snapshots: span.snapshots.map((one) => (one === lost ? { ...one, shredded: true } : one)),
    })),
  }));
  return { ...history, shard: { ...history.shard, writers: shredded } };
}

describe('retention of random histories', () => {
  it('keeps every second restorable that less than the retention ago really passed', () => {
    let gone = 0;
    for (let seed = 0; seed < CATALOGUES; seed++) {
      const history = liveRandomly(seed);
      const retain = 1 + Math.floor(numbers(seed + 7_777)() * 120);
      const left = new Left(history, floorsOf(plan(history, retain)));
      const before = restorable(history);
      const kept = before.filter(({ at }) => history.now - at <= retain);
      const lost = kept.filter((second) => !left.restores(second));
      expect(lost, `seed ${String(seed)}, retention ${String(retain)}`).toEqual([]);
      gone += before.filter((second) => !left.restores(second)).length;
    }
    expect(gone).toBeGreaterThan(CATALOGUES * 20);
  });

  it('keeps what another backup serves when the key of one was destroyed', () => {
    let gone = 0;
    for (let seed = 0; seed < CATALOGUES; seed++) {
      const next = numbers(seed + 6_666);
      const history = shredOne(liveRandomly(seed), next());
      if (history === null) continue;
      const retain = 1 + Math.floor(next() * 120);
      const floors = floorsOf(plan(history, retain));
      const [all, left] = [new Left(history, []), new Left(history, floors)];
      const before = restorable(history).filter((second) => all.restores(second));
      const kept = before.filter(({ at }) => history.now - at <= retain);
      const lost = kept.filter((second) => !left.restores(second));
      expect(lost, `seed ${String(seed)}, retention ${String(retain)}`).toEqual([]);
      const serves = ({ snapshots }: Left): boolean =>
        snapshots.some(({ shredded }) => shredded !== true);
      expect(serves(left), `seed ${String(seed)}`).toBe(serves(all));
      gone += all.snapshots.filter(({ shredded }) => shredded === true).length;
      gone -= left.snapshots.filter(({ shredded }) => shredded === true).length;
    }
    expect(gone).toBeGreaterThan(CATALOGUES / 10);
  });

  it('lets go of deleted backups, and of no second that is kept, nor of what a lease reads', () => {
    let single = 0;
    for (let seed = 0; seed < CATALOGUES / 2; seed++) {
      const next = numbers(seed + 4_444);
      const lived = liveRandomly(seed);
      const lost = next() < 0.3 ? (shredOne(lived, next()) ?? lived) : lived;
      const history = deleteSome(lost, next);
      const retain = 1 + Math.floor(next() * 120);
      const all = new Left(history, []);
      const before = restorable(history).filter((second) => all.restores(second));
      const from = next() < 0.3 ? before[Math.floor(next() * before.length)] : undefined;
      const result = plan(history, retain, { ...(from && { fromSecond: from.shown }) });
      const dropped = new Set(result.dropped.map(({ backup }) => backup));
      const left = new Left(history, floorsOf(result), dropped);
      const kept = before.filter(
        ({ at, shown }) => history.now - at <= retain || (from && shown >= from.shown),
      );
      expect(
        kept.filter((second) => !left.restores(second)),
        `seed ${String(seed)}, retention ${String(retain)}`,
      ).toEqual([]);
      // Who reads by a lease has planned already: what he begins with stays, not only something like it.
      const read = before.filter(({ shown }) => from !== undefined && shown >= from.shown);
      expect(
        read.filter((second) => left.baseOf(second) !== all.baseOf(second)),
        `seed ${String(seed)}, retention ${String(retain)}`,
      ).toEqual([]);
      const rules = { retainSeconds: retain, leases: [] };
      if (from === undefined) {
        expect(isFree([history.shard], floorsOf(result), rules, [...dropped])).toBe(true);
      }
      for (const one of all.snapshots) {
        if (dropped.has(one.backup)) expect(one.deleted, `seed ${String(seed)}`).toBe(true);
        // Who reads from a backup on finds it, and whoever looks again says so.
        const leases = [{ fromSecond: one.from }];
        if (!dropped.has(one.backup)) continue;
        const isStillFree = isFree([history.shard], [], { ...rules, leases }, [one.backup]);
        expect(isStillFree, `seed ${String(seed)}`).toBe(false);
      }
      single += dropped.size;
      const whole = inOrder(history.shard).flatMap(({ snapshots }) =>
        snapshots.filter(({ shredded, deleted }) => shredded !== true && deleted !== true),
      );
      const newest = whole.at(-1)?.backup;
      if (newest !== undefined) {
        expect(left.snapshots.map(({ backup }) => backup)).toContain(newest);
      }
    }
    expect(single).toBeGreaterThan(CATALOGUES / 8);
  });

  it('keeps the newest so many whole backups of a shard, whatever else goes', () => {
    let more = 0;
    for (let seed = 0; seed < CATALOGUES; seed++) {
      const next = numbers(seed + 5_555);
      const lived = liveRandomly(seed);
      const history = next() < 0.5 ? (shredOne(lived, next()) ?? lived) : lived;
      const keepLast = 1 + Math.floor(next() * 6);
      const whole = inOrder(history.shard).flatMap(({ timeline, snapshots }) =>
        snapshots
          .filter(({ shredded }) => shredded !== true)
          .map(({ backup }) => `${timeline} ${backup}`),
      );
      const backupsOf = (floors: readonly RetentionFloor[]): ReadonlySet<string> =>
        new Set(
          inOrder(withFloors(history.shard, floors)).flatMap(({ timeline, snapshots }) =>
            snapshots.map(({ backup }) => `${timeline} ${backup}`),
          ),
        );
      const left = backupsOf(floorsOf(plan(history, 1, { keepLast })));
      const lost = whole.slice(-keepLast).filter((backup) => !left.has(backup));
      expect(lost, `seed ${String(seed)}, ${String(keepLast)} kept`).toEqual([]);
      more += left.size - backupsOf(floorsOf(plan(history, 1))).size;
    }
    expect(more).toBeGreaterThan(CATALOGUES / 10);
  });

  it('keeps every second of the windows within the retention before the latest one', () => {
    for (let seed = 0; seed < CATALOGUES; seed++) {
      const history = liveRandomly(seed);
      const retain = 1 + Math.floor(numbers(seed + 8_888)() * 120);
      const result = plan(history, retain);
      const floors = floorsOf(result);
      const left = new Left(history, floors);
      const before = computeWindows(inOrder(history.shard));
      const after = computeWindows(inOrder(withFloors(history.shard, floors)));
      const newest = inOrder(history.shard).findLast((span) =>
        stretchesOf(span).some((stretch) => stretch.restorable !== null),
      );
      const latest =
        newest && stretchesOf(newest).findLast((one) => one.restorable !== null)?.restorable?.to;
      const shownIn = (ranges: typeof before.ranges, second: number): string | undefined =>
        ranges.find(({ from, to }) => from <= second && second <= to)?.timeline;
      for (const second of restorable(history)) {
        const { shown, timeline } = second;
        if (latest === undefined || shown > latest || shown <= latest - retain) continue;
        expect(left.restores(second), `seed ${String(seed)}: ${String(shown)}`).toBe(true);
        if (shownIn(before.ranges, shown) !== timeline) continue;
        expect(shownIn(after.ranges, shown), `seed ${String(seed)}: ${String(shown)}`).toBe(
          timeline,
        );
      }
      expect(result.earliestAfter).toBe(after.earliest);
    }
  });

  it('keeps the newest snapshot, what a lease reads, and no more than the share of one run', () => {
    let limited = 0;
    for (let seed = 0; seed < CATALOGUES; seed++) {
      const history = liveRandomly(seed);
      const next = numbers(seed + 9_999);
      const seconds = restorable(history);
      const from = seconds[Math.floor(next() * seconds.length)];
      const shareMax = next();
      const result = plan(history, 1, { ...(from && { fromSecond: from.shown }), shareMax });
      const left = new Left(history, floorsOf(result));
      const lost = seconds.filter(
        (one) => from !== undefined && one.shown >= from.shown && !left.restores(one),
      );
      expect(lost, `seed ${String(seed)}`).toEqual([]);
      const all = new Left(history, []);
      const newest = inOrder(history.shard).findLast(({ snapshots }) => snapshots.length > 0);
      const last = newest?.snapshots.at(-1)?.backup;
      if (last !== undefined) expect(left.snapshots.map(({ backup }) => backup)).toContain(last);
      const total = all.snapshots.length * history.bytesOfSnapshot;
      const bytes = all.segments.reduce((sum, one) => sum + Number(one.end - one.start), total);
      expect(result.amount.bytes).toBeLessThanOrEqual(bytes * shareMax);
      limited += result.limited ? 1 : 0;
    }
    expect(limited).toBeGreaterThan(0);
  });

  it('never keeps less after a clock that jumps ahead by ten years', () => {
    const step = 315_360_000;
    for (let seed = 0; seed < 200; seed++) {
      const history = liveRandomly(seed);
      const [before, retain] = [restorable(history), 40];
      const writers = history.shard.writers.map((each) => ({
        ...each,
        // As a node says whose clock jumped while nobody was looking: what is proven lies far ahead.
        timelines: each.timelines.map((span) =>
          span.open && span.to !== null
            ? { ...span, to: span.to + step, steps: jumped(span.to, step, span) }
            : span,
        ),
      }));
      const ahead = { ...history, shard: { ...history.shard, writers } };
      const left = new Left(history, floorsOf(plan(ahead, retain)));
      const kept = before.filter(({ at }) => history.now - at <= retain - 2);
      expect(
        kept.filter((second) => !left.restores(second)),
        `seed ${String(seed)}`,
      ).toEqual([]);
    }
  });
});

function jumped(
  second: number,
  step: number,
  { steps = [], end }: TrueHistory['shard']['writers'][0]['timelines'][0],
): typeof steps {
  const [fromMs, toMs] = [second * 1000, (second + step) * 1000];
  const at = { before: end, offset: end, provenTo: null };
  const times = { untilMs: fromMs, fromMs, toMs, sinceMs: toMs };
  return [...steps, { direction: 'forward', ...at, ...times }];
}
