import { computeWindows } from '@tidemark/archive';
import type { Lease } from '../model/instance-state.ts';
import { droppableBackups } from './droppable.ts';
import { goneByName } from './gone-by-name.ts';
import {
  isBefore,
  withFloors,
  withoutBackups,
  type Position,
  type RetentionFloor,
  type RetentionShard,
  type RetentionTimeline,
  type RetentionWriter,
} from './history.ts';
import { inOrder, neededFrom, type KeepRules } from './needed-from.ts';

/** Number and sealed bytes of segments and snapshots. */
export interface Amount {
  readonly objects: number;
  readonly bytes: number;
}

/** How much is stored. */
export interface RetentionSizes {
  /** Of all the history that is not tombstoned yet. */
  readonly total: Amount;
  /** What of it would go with a floor. */
  readonly below: (floor: RetentionFloor) => Amount;
  /** What of it is a backup, of one writer or of all. */
  readonly ofBackup: (backup: string, writer?: string) => Amount;
}

/** What a retention run decides from. */
export interface RetentionInput {
  /** As the catalog shows them: without what is tombstoned already. */
  readonly shards: readonly RetentionShard[];
  readonly retainSeconds: number;
  /** The newest so many backups of a shard are kept, however old they are. Default: one. */
  readonly keepLast?: number;
  /** Leases of the instance; those over their time are passed over. */
  readonly leases: readonly Lease[];
  /** Only ends leases. What is old the history itself tells. */
  readonly nowMs: number;
  readonly sizes: RetentionSizes;
  /** Most of the stored bytes that one run may let go, 0 to 1; what was deleted by name is not counted. */
  readonly shareMax: number;
  /** Writers that one run may let go of something. */
  readonly writersMax: number;
  /** Single backups that one run may let go. */
  readonly backupsMax: number;
}

/** What goes of one writer, and why the rest stays. */
export interface RetentionStep {
  readonly shard: string;
  readonly floor: RetentionFloor;
  readonly amount: Amount;
  readonly backups: readonly string[];
}

/** A deleted backup that goes, though history before it is kept. */
export interface DroppedBackup {
  readonly backup: string;
  readonly amount: Amount;
}

/** What a retention run lets go. */
export interface RetentionPlan {
  readonly steps: readonly RetentionStep[];
  readonly dropped: readonly DroppedBackup[];
  readonly amount: Amount;
  /** Whether more would go, but for the maximum share of one run. */
  readonly limited: boolean;
  /** First restorable second before and after; null = nothing can be restored. */
  readonly earliestBefore: number | null;
  readonly earliestAfter: number | null;
}

/** Bytes that a run may still let go, and whether they were too few. */
interface Budget {
  bytes: number;
  limited: boolean;
  /** Backups that are not counted: somebody deleted them. */
  readonly named: ReadonlySet<string>;
}

/** Share of the stored bytes that one run may let go. */
export const SHARE_MAX = 0.5;

/** Whether a lease still counts. A hold is ended by its release alone: no clock may end it. */
export function isLive({ purpose, untilMs }: Lease, nowMs: number): boolean {
  return purpose === 'hold' || untilMs > nowMs;
}

/**
 * Decides what of an instance's history is needed no more. Pure: the same input gives the same plan.
 *
 * Every second that `neededFrom` names stays restorable, with everything that a restore of it reads.
 */
export function planRetention(input: RetentionInput): RetentionPlan {
  const leases = input.leases.filter((lease) => isLive(lease, input.nowMs));
  const { retainSeconds, keepLast = 1 } = input;
  const rules = { retainSeconds, keepLast, leases };
  const budget = budgetOf(input, goneByName(input.shards, rules));
  const steps: RetentionStep[] = [];
  for (const shard of input.shards) {
    const needed = neededFrom(shard, rules);
    for (const writer of byAge(shard)) {
      const wanted = needed.get(writer.writer) ?? endOf(writer);
      if (wanted === null) continue;
      const step = stepTo(wanted, { shard: shard.shard, writer }, input.sizes, budget);
      if (step !== null && steps.length < input.writersMax) steps.push(step);
    }
  }
  const before = input.shards.map((shard) => earliestOf(inOrder(shard)));
  const floors = steps.map(({ floor }) => floor);
  const left = input.shards.map((shard) => withFloors(shard, floors));
  const dropped = dropsOf(left, rules, input, budget);
  const gone = new Set(dropped.map(({ backup }) => backup));
  const after = left.map((shard) => earliestOf(inOrder(withoutBackups(shard, gone))));
  return {
    steps,
    dropped,
    amount: sum([...steps, ...dropped].map(({ amount }) => amount)),
    limited: budget.limited,
    earliestBefore: lowest(before),
    earliestAfter: lowest(after),
  };
}

/** The share is one of what is not deleted by name: it counts on neither side. */
function budgetOf({ sizes, shareMax }: RetentionInput, named: ReadonlySet<string>): Budget {
  const { bytes } = sum([...named].map((backup) => sizes.ofBackup(backup)));
  return { bytes: (sizes.total.bytes - bytes) * shareMax, limited: false, named };
}

function dropsOf(
  shards: readonly RetentionShard[],
  rules: KeepRules,
  { sizes, backupsMax }: RetentionInput,
  budget: Budget,
): readonly DroppedBackup[] {
  const dropped: DroppedBackup[] = [];
  for (const backup of [...droppableBackups(shards, rules)].sort()) {
    const amount = sizes.ofBackup(backup);
    const counted = budget.named.has(backup) ? 0 : amount.bytes;
    if (dropped.length >= backupsMax || counted > budget.bytes) {
      budget.limited = true;
      continue;
    }
    budget.bytes -= counted;
    dropped.push({ backup, amount });
  }
  return dropped;
}

/** Oldest first, so that a limited share is spent on the oldest history. */
function byAge({ writers, order }: RetentionShard): readonly RetentionWriter[] {
  const age = ({ timelines }: RetentionWriter): number =>
    order.indexOf(timelines[0]?.timeline ?? '');
  return [...writers].sort((a, b) => age(a) - age(b));
}

/** Behind everything of a writer; null when there is nothing. */
function endOf({ timelines }: RetentionWriter): Position | null {
  const last = timelines.at(-1);
  return last === undefined ? null : { index: timelines.length - 1, offset: behind(last) };
}

/** An offset that neither a snapshot nor a segment of a closed timeline reaches. */
function behind({ end, snapshots }: RetentionTimeline): bigint {
  return snapshots.reduce((most, { offset }) => (offset > most ? offset : most), end) + 1n;
}

function stepTo(
  wanted: Position,
  { shard, writer }: { readonly shard: string; readonly writer: RetentionWriter },
  sizes: RetentionSizes,
  budget: Budget,
): RetentionStep | null {
  for (const place of placesUpTo(wanted, writer)) {
    const timeline = writer.timelines[place.index]?.timeline ?? '';
    const floor = { writer: writer.writer, timeline, offset: place.offset };
    const amount = sizes.below(floor);
    if (amount.objects === 0) return null;
    const backups = backupsBelow(writer, place);
    const named = backups.filter((backup) => budget.named.has(backup));
    const { bytes } = sum(named.map((backup) => sizes.ofBackup(backup, writer.writer)));
    const counted = amount.bytes - bytes;
    if (counted > budget.bytes) {
      budget.limited = true;
      continue;
    }
    budget.bytes -= counted;
    return { shard, floor, amount, backups };
  }
  return null;
}

/**
 * Where a floor may stand: at the wanted place, or, furthest first, at a snapshot before it. None
 * stands where the clock was set back: a history that begins there could not tell before from after.
 */
function placesUpTo(wanted: Position, { timelines }: RetentionWriter): readonly Position[] {
  const snapshots = timelines.flatMap((each, index) =>
    each.snapshots.map(({ offset }) => ({ index, offset })),
  );
  const places = [wanted, ...snapshots.filter((place) => isBefore(place, wanted)).reverse()];
  return places.filter(({ index, offset }) => {
    const steps = timelines[index]?.steps ?? [];
    return !steps.some((step) => step.direction === 'back' && step.offset === offset);
  });
}

function backupsBelow({ timelines }: RetentionWriter, place: Position): readonly string[] {
  return timelines.flatMap((each, index) =>
    each.snapshots
      .filter(({ offset }) => isBefore({ index, offset }, place))
      .map(({ backup }) => backup),
  );
}

function earliestOf(timelines: readonly RetentionTimeline[]): number | null {
  return computeWindows(timelines).earliest;
}

function lowest(seconds: readonly (number | null)[]): number | null {
  const known = seconds.filter((second) => second !== null);
  return known.length === 0 ? null : Math.min(...known);
}

function sum(amounts: readonly Amount[]): Amount {
  return amounts.reduce(
    (all, { objects, bytes }) => ({ objects: all.objects + objects, bytes: all.bytes + bytes }),
    { objects: 0, bytes: 0 },
  );
}
