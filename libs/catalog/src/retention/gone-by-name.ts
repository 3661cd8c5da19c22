import { droppableBackups } from './droppable.ts';
import { isBefore, type Position, type RetentionShard, type RetentionWriter } from './history.ts';
import { neededFrom, type KeepRules } from './needed-from.ts';

/**
 * Backups that retention lets go of because somebody deleted them by name: a person said so, so that no
 * wrong clock and no wrong policy is behind it, and the share of one run does not count them. Those are
 * the ones that no kept second needs, and those that would be kept, as one of the newest, if they were
 * not deleted. One that stays for seconds that it serves alone goes with those, by age.
 * @param shards - As they are shown, above the floors.
 */
export function goneByName(
  shards: readonly RetentionShard[],
  rules: KeepRules,
): ReadonlySet<string> {
  if (!shards.some(holdsDeleted)) return new Set();
  const names = new Set<string>();
  const aged = new Set<string>();
  for (const shard of shards) {
    const needed = neededFrom(shard, rules);
    const anyway = neededFrom(asIfKept(shard), rules);
    for (const writer of shard.writers) {
      for (const name of deletedBelow(writer, needed.get(writer.writer) ?? null)) names.add(name);
      for (const name of deletedBelow(writer, anyway.get(writer.writer) ?? null)) aged.add(name);
    }
  }
  return new Set([
    ...droppableBackups(shards, rules),
    ...[...names].filter((name) => !aged.has(name)),
  ]);
}

function holdsDeleted({ writers }: RetentionShard): boolean {
  return writers.some(({ timelines }) =>
    timelines.some(({ snapshots }) => snapshots.some(({ deleted }) => deleted === true)),
  );
}

function asIfKept({ writers, ...shard }: RetentionShard): RetentionShard {
  const kept = writers.map(({ timelines, ...writer }) => ({
    ...writer,
    timelines: timelines.map((each) => ({
      ...each,
      snapshots: each.snapshots.map((snapshot) => ({ ...snapshot, deleted: false })),
    })),
  }));
  return { ...shard, writers: kept };
}

/** @param from - Where what is kept begins; null = nothing is. */
function deletedBelow({ timelines }: RetentionWriter, from: Position | null): readonly string[] {
  return timelines.flatMap(({ snapshots }, index) =>
    snapshots.flatMap(({ backup, offset, deleted }) =>
      deleted === true && (from === null || isBefore({ index, offset }, from)) ? [backup] : [],
    ),
  );
}
