import { LOWER_CASE } from '../../find-command.ts';
import type { CommandView } from '../command-view.ts';
import { Refusal, type Outcome, type Rule } from '../rule.ts';
import { isSince, NEVER, type TargetDialect } from '../target-dialect.ts';

const NINE = 0x39;
const ZERO = 0x30;

/** What a target knows of the options of XADD and XTRIM (redis src/t_stream.c). */
interface StreamOptions {
  /** NOMKSTREAM, MINID and LIMIT: redis 6.2. */
  readonly minId: boolean;
  /** KEEPREF, DELREF and ACKED: redis 8.2. */
  readonly references: boolean;
  /** IDMP and IDMPAUTO: redis 8.6. */
  readonly idempotent: boolean;
}

/**
 * `XADD key [options] id field value ...` and `XTRIM key options`.
 *
 * A server logs `MAXLEN = n LIMIT m`, n being what was left: so the limit can go where the target has
 * none. Elsewhere it stays, for a server ignores the limit of its master (redis src/t_stream.c,
 * streamParseAddOrTrimArgsOrReply).
 */
export function trimRule(dialect: TargetDialect, adds: boolean): Rule | null {
  const known: StreamOptions = {
    minId: isSince(dialect, 6_02_00, 0),
    references: isSince(dialect, 8_02_00, NEVER),
    idempotent: isSince(dialect, 8_06_00, NEVER),
  };
  if (known.minId && known.references && known.idempotent) return null;
  return {
    // An id, and so no option at all.
    ...(adds
      ? {
          passesBy: 3,
          passes: ({ data, argStart }, at, argc) => {
            const start = argc > 2 ? (argStart[at + 2] as number) : -1;
            const first = start < 0 ? 0 : (data[start] as number);
            return first >= ZERO && first <= NINE;
          },
        }
      : {}),
    decide: (command) => decideTrim(command, known),
    decidedBy: (command) => (adds ? optionsEnd(command) : command.argc),
  };
}

/** Where the options of XADD end: at its id. NaN when that is not there yet. */
function optionsEnd(command: CommandView): number {
  for (let index = 2; index < command.argc; index += 1) {
    const first = LOWER_CASE[command.text(index).charCodeAt(0)] ?? 0;
    if ((first >= ZERO && first <= NINE) || first === 0x2a) return index + 1;
    index += operandsOf(command, index);
  }
  return Number.NaN;
}

/** Arguments that belong to the option at `index`. */
function operandsOf(command: CommandView, index: number): number {
  switch (command.text(index)) {
    case 'maxlen':
    case 'minid': {
      const sign = command.text(index + 1);
      return sign === '=' || sign === '~' ? 2 : 1;
    }
    case 'limit':
    case 'idmpauto':
      return 1;
    case 'idmp':
      return 2;
    default:
      return 0;
  }
}

function decideTrim(command: CommandView, known: StreamOptions): Outcome {
  const left = new Set<number>();
  let approximate = false;
  for (let index = 2; index < command.argc; index += 1) {
    const option = command.text(index);
    const operands = operandsOf(command, index);
    const refusal = refuseOption(option, known);
    if (refusal !== null) return refusal;
    if (option === 'maxlen' || option === 'minid') approximate = command.text(index + 1) === '~';
    else if (option === 'limit') {
      if (!known.minId && !approximate) left.add(index).add(index + 1);
    } else if (option === 'nomkstream') {
      if (!known.minId) left.add(index);
    } else if (option === 'keepref') {
      if (!known.references) left.add(index);
    } else if (operands === 0 && !['delref', 'acked'].includes(option)) break; // the id
    index += operands;
  }
  return left.size === 0 ? null : [command.without(left)];
}

function refuseOption(option: string, known: StreamOptions): Refusal | null {
  if (option === 'minid' && !known.minId) return new Refusal('MINID needs redis 6.2');
  if ((option === 'delref' || option === 'acked') && !known.references) {
    return new Refusal(`${option.toUpperCase()} needs redis 8.2`);
  }
  if ((option === 'idmp' || option === 'idmpauto') && !known.idempotent) {
    return new Refusal(`${option.toUpperCase()} needs redis 8.6`);
  }
  return null;
}

/**
 * `XGROUP sub key group ...`. Before 7.0 a group does not know how many entries it read, and before
 * 6.2 a consumer begins with its first read: reading its pending entries, of which a new one has
 * none, makes it.
 */
export function xGroupRule(dialect: TargetDialect): Rule | null {
  if (isSince(dialect, 7_00_00, 0)) return null;
  const createsConsumer = isSince(dialect, 6_02_00, 0);
  return {
    decide: (command) => {
      if (command.text(1) === 'createconsumer') {
        return createsConsumer
          ? null
          : [command.build('XREADGROUP', 'GROUP', [3, 5], 'STREAMS', [2, 3], '0')];
      }
      for (let index = 5; index < command.argc; index += 1) {
        if (command.text(index) !== 'entriesread') continue;
        return [command.without(new Set([index, index + 1]))];
      }
      return null;
    },
  };
}

/** `XSETID key id [ENTRIESADDED n] [MAXDELETEDID id]`: before 7.0 a stream knows its last id only. */
export function xSetIdRule(dialect: TargetDialect): Rule | null {
  if (isSince(dialect, 7_00_00, 0)) return null;
  return {
    passes: (_columns, _at, argc) => argc <= 3,
    decide: (command) => [command.build([0, 3])],
  };
}
