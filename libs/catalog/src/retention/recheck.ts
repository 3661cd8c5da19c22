import { isBefore, positionOf, type RetentionFloor, type RetentionShard } from './history.ts';
import { neededFrom, type KeepRules } from './needed-from.ts';

/**
 * Whether nothing that floors hide is needed: the look before a deletion begins.
 * @param shards - The history as it is without these floors.
 */
export function isFree(
  shards: readonly RetentionShard[],
  floors: readonly RetentionFloor[],
  rules: KeepRules,
): boolean {
  return shards.every((shard) => {
    const needed = neededFrom(shard, rules);
    return shard.writers.every((writer) => {
      const floor = floors.find((each) => each.writer === writer.writer);
      const [from, at] = [needed.get(writer.writer) ?? null, floor && positionOf(writer, floor)];
      return from === null || at == null || !isBefore(from, at);
    });
  });
}
