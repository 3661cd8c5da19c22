import { keyword } from '../../arguments.ts';
import { encodeArgument, encodeCount } from '../../raw/raw-command.ts';
import { hasCommand } from '../command-since.ts';
import type { CommandView } from '../command-view.ts';
import { Refusal, refuseAlways, type Outcome, type Rule } from '../rule.ts';
import type { TargetDialect } from '../target-dialect.ts';

const FIELDS = keyword('fields');
const NO_FIELD_TTL = 'it needs hash fields with an expiry (redis 7.4 or valkey 9.0)';

/** Commands on expiries of hash fields have no equal where those do not exist. */
export const FIELD_TTL_MISSING: Rule = refuseAlways(NO_FIELD_TTL);

interface FieldForm {
  /** First field: after FIELDS and the count. */
  readonly first: number;
  /** Argument after the last field or value. */
  readonly end: number;
  /** Options that stand before FIELDS or after the fields, in lower case. */
  readonly options: readonly string[];
  /** Milliseconds, as the log says them; null without one. */
  readonly expiry: string | null;
}

/** Reads `key [options] FIELDS n (field [value]) ... [options]`; null when it is not well formed. */
function readFields(command: CommandView, width: 1 | 2): FieldForm | null {
  const options: string[] = [];
  let expiry: string | null = null;
  let first = 0;
  let end = 0;
  for (let index = 2; index < command.argc; index += 1) {
    if (first === 0 && command.is(index, FIELDS)) {
      first = index + 2;
      end = first + command.integer(index + 1) * width;
      if (!(end > first) || end > command.argc) return null;
      index = end - 1;
      continue;
    }
    const option = command.text(index);
    if (option === 'pxat' || option === 'exat') {
      const time = command.integer(index + 1);
      if (!Number.isSafeInteger(time)) return null;
      expiry = String(option === 'exat' ? time * 1000 : time);
      index += 1;
    } else options.push(option);
  }
  return first === 0 ? null : { first, end, options, expiry };
}

const CONDITIONS = new Set(['nx', 'xx', 'fnx', 'fxx']);
const HSETEX_OPTIONS = new Set([...CONDITIONS, 'keepttl']);
const MALFORMED = new Refusal('it is not well formed');
const KEYLESS = new Refusal(
  'it is not well formed: valkey 9 logs HSETEX without a key that is named like a condition (fxx)',
);

/**
 * `HSETEX key [NX|XX] [FNX|FXX] [PXAT time|KEEPTTL] FIELDS n field value ...` where HSETEX is known.
 * Conditions are left out: all of them held, Redis lacks those on the key, and a server that looks at
 * the clock could find otherwise.
 */
export const HSETEX_RULE: Rule = {
  decide: (command) => {
    const form = readFields(command, 2);
    if (form === null || form.options.some((option) => !HSETEX_OPTIONS.has(option))) return KEYLESS;
    const left = new Set<number>();
    for (let index = 2; index < command.argc; index += 1) {
      if (index === form.first - 2) index = form.end - 1;
      else if (CONDITIONS.has(command.text(index))) left.add(index);
    }
    return left.size === 0 ? null : [command.without(left)];
  },
};

/**
 * HSETEX for a target without it: HSET, which takes the expiry of the fields away, and HPEXPIREAT.
 * KEEPTTL is HSET where no field can have an expiry, and has no equal where one can.
 */
export function hSetExInstead(dialect: TargetDialect): Rule {
  const fieldTtl = hasCommand(dialect, 'hpexpireat');
  return { decide: (command) => decideHSetEx(command, fieldTtl) };
}

function decideHSetEx(command: CommandView, fieldTtl: boolean): Outcome {
  const form = readFields(command, 2);
  if (form === null) return MALFORMED;
  const { first, end, options, expiry } = form;
  if (options.some((option) => !HSETEX_OPTIONS.has(option))) return KEYLESS;
  if (expiry !== null && !fieldTtl) return new Refusal(NO_FIELD_TTL);
  if (options.includes('keepttl') && fieldTtl) {
    return new Refusal('HSETEX KEEPTTL needs redis 8.0 or valkey 9.0');
  }
  const set = command.build('HSET', [1, 2], [first, end]);
  return expiry === null ? [set] : [set, farther(command, { first, end }, expiry)];
}

/** `HPEXPIREAT key time FIELDS n field ...` over the fields of pairs `[first, end)`. */
function farther(
  command: CommandView,
  pairs: { readonly first: number; readonly end: number },
  expiry: string,
): Buffer {
  const count = (pairs.end - pairs.first) / 2;
  const head = ['HPEXPIREAT', command.content(1), expiry, 'FIELDS', String(count)];
  const fields: Buffer[] = [];
  for (let index = pairs.first; index < pairs.end; index += 2) {
    fields.push(encodeArgument(command.content(index)));
  }
  return Buffer.concat([encodeCount(head.length + count), ...head.map(encodeArgument), ...fields]);
}

/** `HGETDEL key FIELDS n field ...`: what it leaves is what HDEL leaves. */
export const HGETDEL_INSTEAD: Rule = {
  decide: (command) => {
    const form = readFields(command, 1);
    return form === null ? MALFORMED : [command.build('HDEL', [1, 2], [form.first, form.end])];
  },
};
