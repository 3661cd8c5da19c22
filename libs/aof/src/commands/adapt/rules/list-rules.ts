import type { CommandView } from '../command-view.ts';
import { Refusal, type Outcome, type Rule } from '../rule.ts';
import { isSince, type TargetDialect } from '../target-dialect.ts';

/** `LPOP key n` and `RPOP key n` (redis 6.2) leave what LTRIM leaves. */
export function popRule(dialect: TargetDialect, left: boolean): Rule | null {
  if (isSince(dialect, 6_02_00, 0)) return null;
  return {
    passes: (_columns, _at, argc) => argc === 2,
    decide: (command) => {
      const count = command.integer(2);
      if (!(count >= 1)) return new Refusal('a count that is not a number');
      const range = left ? [String(count), '-1'] : ['0', String(-count - 1)];
      return [command.build('LTRIM', [1, 2], ...range)];
    },
  };
}

/** `LMOVE source destination RIGHT LEFT` is RPOPLPUSH; other directions need redis 6.2. */
export const LMOVE_INSTEAD: Rule = {
  decide: (command) =>
    command.text(3) === 'right' && command.text(4) === 'left'
      ? [command.build('RPOPLPUSH', [1, 3])]
      : new Refusal('LMOVE in this direction needs redis 6.2'),
};

const FLAGS = new Set(['nx', 'xx', 'gt', 'lt', 'ch', 'incr']);

/**
 * `ZADD key [GT|LT] ... score member ...` before 6.2: a single pair took effect, so that its
 * condition held; of several it is not told which did.
 */
export function zAddRule(dialect: TargetDialect): Rule | null {
  if (isSince(dialect, 6_02_00, 0)) return null;
  return { decide: decideZAdd };
}

function decideZAdd(command: CommandView): Outcome {
  const left = new Set<number>();
  let index = 2;
  for (; FLAGS.has(command.text(index)); index += 1) {
    if (['gt', 'lt'].includes(command.text(index))) left.add(index);
  }
  if (left.size === 0) return null;
  if (command.argc - index > 2)
    return new Refusal('ZADD GT and LT of several members need redis 6.2');
  return [command.without(left)];
}

/** `FLUSHALL SYNC` and `FLUSHDB SYNC` (redis 6.2) are what they are without the word. */
export function flushRule(dialect: TargetDialect): Rule | null {
  if (isSince(dialect, 6_02_00, 0)) return null;
  return {
    passes: (_columns, _at, argc) => argc === 1,
    decide: (command) => (command.text(1) === 'sync' ? [command.build([0, 1])] : null),
  };
}
