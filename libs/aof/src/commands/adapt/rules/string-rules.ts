import { keyword } from '../../arguments.ts';
import { encodeCommand } from '../../raw/raw-command.ts';
import type { CommandView, Part } from '../command-view.ts';
import { Refusal, type Outcome, type Rule } from '../rule.ts';
import { isSince, NEVER, type LogWriter, type TargetDialect } from '../target-dialect.ts';

const PXAT = keyword('pxat');
const EXAT = keyword('exat');
const MS_IN_SECOND = 1000;

/** Conditions of SET with an operand, and who knows them (redis src/t_string.c; valkey 8.1). */
const COMPARING: ReadonlyMap<string, readonly [redis: number, valkey: number]> = new Map([
  ['ifeq', [8_04_00, 8_01_00]],
  ['ifne', [8_04_00, NEVER]],
  ['ifdeq', [8_04_00, NEVER]],
  ['ifdne', [8_04_00, NEVER]],
]);

/**
 * `SET key value [options]`. A log holds only a SET that took effect, and the state before it is the
 * same in a replay: so a condition that the target cannot read is left out, and what remains of
 * `PXAT time` for a target without it is a SET and a PEXPIREAT.
 */
export function setRule(dialect: TargetDialect, writer: LogWriter | null): Rule | null {
  const pxAt = isSince(dialect, 6_02_00, 0);
  const unknown = [...COMPARING].filter(([, [redis, valkey]]) => !isSince(dialect, redis, valkey));
  if (unknown.length === 0) return null;
  const names = new Set(unknown.map(([name]) => name));
  const writes = (redis: number, valkey: number): boolean =>
    writer === null || isSince(writer, redis, valkey);
  return {
    passesLarge:
      (pxAt || !writes(6_02_00, 0)) && !unknown.some(([, versions]) => writes(...versions)),
    passes: (_columns, _at, argc) => argc === 3,
    decide: (command) => decideSet(command, names, pxAt),
  };
}

function decideSet(command: CommandView, unknown: ReadonlySet<string>, pxAt: boolean): Outcome {
  const kept: Part[] = [[0, 3]];
  let changed = false;
  let expiry: string | null = null;
  for (let index = 3; index < command.argc; index += 1) {
    const option = command.text(index);
    if (COMPARING.has(option)) {
      if (unknown.has(option)) changed = true;
      else kept.push([index, index + 2]);
      index += 1;
    } else if (!pxAt && (option === 'pxat' || option === 'exat')) {
      const time = command.integer(index + 1);
      if (!Number.isSafeInteger(time)) return new Refusal('SET with a time that is no number');
      expiry = String(option === 'exat' ? time * MS_IN_SECOND : time);
      changed = true;
      index += 1;
    } else if (option === 'px' || option === 'ex') {
      kept.push([index, index + 2]);
      index += 1;
    } else kept.push([index, index + 1]);
  }
  if (!changed) return null;
  const set = command.build(...kept);
  if (expiry === null) return [set];
  return [set, encodeCommand('PEXPIREAT', command.content(1), expiry)];
}

/** `PEXPIREAT key time [NX|XX|GT|LT]`: conditions that held are left out before 7.0. */
export function keyTimeRule(dialect: TargetDialect): Rule | null {
  if (isSince(dialect, 7_00_00, 0)) return null;
  return {
    passes: (_columns, _at, argc) => argc <= 3,
    decide: (command) => [command.build([0, 3])],
  };
}

/**
 * `MSETEX n key value ... [NX|XX] [PXAT time|KEEPTTL]` for a target without it: MSET, or one SET for
 * each key. Nobody looks at the target between them, and of a key that is named twice the last
 * value stays in both forms.
 */
export function mSetExInstead(dialect: TargetDialect): Rule {
  const pxAt = isSince(dialect, 6_02_00, 0);
  return { decide: (command) => decideMSetEx(command, pxAt) };
}

function decideMSetEx(command: CommandView, pxAt: boolean): Outcome {
  const count = command.integer(1);
  const options = 2 + count * 2;
  if (!(count >= 1) || options > command.argc) return new Refusal('MSETEX that is not well formed');
  let expiry: string | null = null;
  let keep = false;
  for (let index = options; index < command.argc; index += 1) {
    if (command.is(index, PXAT) || command.is(index, EXAT)) {
      const time = command.integer(index + 1);
      if (!Number.isSafeInteger(time)) return new Refusal('MSETEX with a time that is no number');
      expiry = String(command.is(index, EXAT) ? time * MS_IN_SECOND : time);
      index += 1;
    } else if (command.text(index) === 'keepttl') keep = true;
    else if (!['nx', 'xx'].includes(command.text(index)))
      return new Refusal('MSETEX with EX or PX');
  }
  if (expiry === null && !keep) return [command.build('MSET', [2, options])];
  const commands: Buffer[] = [];
  for (let index = 2; index < options; index += 2) {
    const pair: Part = [index, index + 2];
    if (keep) commands.push(command.build('SET', pair, 'KEEPTTL'));
    else if (expiry !== null && pxAt) commands.push(command.build('SET', pair, 'PXAT', expiry));
    else if (expiry !== null) {
      commands.push(command.build('SET', pair));
      commands.push(encodeCommand('PEXPIREAT', command.content(index), expiry));
    }
  }
  return commands;
}

/** `DELEX key [IFEQ ...]` and `DELIFEQ key value` that took effect deleted the key. */
export const DELETE_INSTEAD: Rule = { decide: (command) => [command.build('DEL', [1, 2])] };

const BITWISE = new Set(['and', 'or', 'xor', 'not']);

/** `BITOP op key ...`: Redis 8.2 has more operations than others. */
export function bitOpRule(dialect: TargetDialect): Rule | null {
  if (isSince(dialect, 8_02_00, NEVER)) return null;
  return {
    decide: (command) => {
      const operation = command.text(1);
      return BITWISE.has(operation)
        ? null
        : new Refusal(`BITOP ${operation.toUpperCase()} needs redis 8.2`);
    },
    decidedBy: () => 2,
  };
}
