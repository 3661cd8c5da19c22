import { droppableBackups } from './droppable.ts';
import {
  isBefore,
  positionOf,
  withFloors,
  type RetentionFloor,
  type RetentionShard,
} from './history.ts';
import { neededFrom, type KeepRules } from './needed-from.ts';

/**
 * Whether nothing that floors hide is needed, nor a backup above them: the look before a deletion begins.
 * @param shards - The history as it is without these floors.
 */
export function isFree(
  shards: readonly RetentionShard[],
  floors: readonly RetentionFloor[],
  rules: KeepRules,
  backups: readonly string[] = [],
): boolean {
  const left = shards.map((shard) => withFloors(shard, floors));
  const droppable = droppableBackups(left, rules);
  const shown = new Set(left.flatMap(backupsOf));
  if (backups.some((name) => shown.has(name) && !droppable.has(name))) return false;
  return shards.every((shard) => {
    const needed = neededFrom(shard, rules);
    return shard.writers.every((writer) => {
      const floor = floors.find((each) => each.writer === writer.writer);
      const [from, at] = [needed.get(writer.writer) ?? null, floor && positionOf(writer, floor)];
      return from === null || at == null || !isBefore(from, at);
    });
  });
}

function backupsOf({ writers }: RetentionShard): readonly string[] {
  return writers.flatMap(({ timelines }) =>
    timelines.flatMap(({ snapshots }) => snapshots.map(({ backup }) => backup)),
  );
}
