import { COMMANDS, SPEC_UNKNOWN } from '../command-table.ts';
import { hasCommand, whoHas } from './command-since.ts';
import { LEAVE_OUT, refuseAlways, type Rule } from './rule.ts';
import * as hash from './rules/hash-rules.ts';
import { relativeRules, type RanAt } from './rules/relative-rules.ts';
import * as list from './rules/list-rules.ts';
import * as server from './rules/server-rules.ts';
import * as stream from './rules/stream-rules.ts';
import * as string from './rules/string-rules.ts';
import type { LogWriter, TargetDialect } from './target-dialect.ts';

type MakeRule = (dialect: TargetDialect, writer: LogWriter | null) => Rule | null;

/** Commands that the target knows, in forms that it may not know. */
const FORMS: ReadonlyMap<string, MakeRule> = new Map<string, MakeRule>([
  ['select', (dialect) => server.databaseRule(dialect, [1])],
  ['swapdb', (dialect) => server.databaseRule(dialect, [1, 2])],
  ['move', (dialect) => server.databaseRule(dialect, [2])],
  ['copy', server.copyRule],
  ['eval', server.scriptRule],
  ['evalsha', server.scriptRule],
  ['set', string.setRule],
  ['bitop', string.bitOpRule],
  ['pexpireat', string.keyTimeRule],
  ['expireat', string.keyTimeRule],
  ['pexpire', string.keyTimeRule],
  ['expire', string.keyTimeRule],
  ['lpop', (dialect) => list.popRule(dialect, true)],
  ['rpop', (dialect) => list.popRule(dialect, false)],
  ['zadd', list.zAddRule],
  ['flushall', list.flushRule],
  ['flushdb', list.flushRule],
  ['xadd', (dialect) => stream.trimRule(dialect, true)],
  ['xtrim', (dialect) => stream.trimRule(dialect, false)],
  ['xgroup', stream.xGroupRule],
  ['xsetid', stream.xSetIdRule],
  ['hsetex', () => hash.HSETEX_RULE],
]);

/** What takes the place of commands that the target does not know. */
const INSTEAD: ReadonlyMap<string, (dialect: TargetDialect) => Rule> = new Map([
  ['msetex', string.mSetExInstead],
  ['delex', () => string.DELETE_INSTEAD],
  ['delifeq', () => string.DELETE_INSTEAD],
  ['lmove', () => list.LMOVE_INSTEAD],
  ['hsetex', hash.hSetExInstead],
  ['hgetdel', () => hash.HGETDEL_INSTEAD],
  ['hexpire', () => hash.FIELD_TTL_MISSING],
  ['hexpireat', () => hash.FIELD_TTL_MISSING],
  ['hpexpire', () => hash.FIELD_TTL_MISSING],
  ['hpexpireat', () => hash.FIELD_TTL_MISSING],
  ['hpersist', () => hash.FIELD_TTL_MISSING],
]);

/** Commands that are the same for every target that runs alone, whether it knows them or not. */
const ALWAYS: ReadonlyMap<string, Rule> = new Map([
  // Words between a master and its replicas, and messages that had their hearers at the time.
  ...['ping', 'replconf', 'asking', 'publish', 'spublish'].map(
    (name) => [name, LEAVE_OUT] as const,
  ),
  ['cluster', server.CLUSTER_RULE],
  ['sflush', server.SLOTS_RULE],
  ['trimslots', server.SLOTS_RULE],
]);

/**
 * The rule of each command of `COMMANDS`, by its index; null = it goes as it is.
 * @param writer - null = not known.
 */
export function rulesFor(
  dialect: TargetDialect,
  adaptPayload: server.AdaptPayload | null,
  ranAt: RanAt | null,
  writer: LogWriter | null,
): readonly (Rule | null)[] {
  const relative = ranAt === null ? null : relativeRules(ranAt);
  return COMMANDS.map(({ name }, spec) => {
    if (spec === SPEC_UNKNOWN) return null;
    const always = ALWAYS.get(name);
    if (always !== undefined) return always;
    if (!hasCommand(dialect, name)) return INSTEAD.get(name)?.(dialect) ?? missing(name);
    if (name.startsWith('restore')) return server.restoreRule(adaptPayload, ranAt);
    if (name === 'function' && adaptPayload !== null) return server.functionRule(adaptPayload);
    return both(relative?.get(name) ?? null, FORMS.get(name)?.(dialect, writer) ?? null);
  });
}

/** The first rule, and where it leaves a command as it is the second. */
function both(first: Rule | null, second: Rule | null): Rule | null {
  if (first === null || second === null) return first ?? second;
  return {
    decide: (command) => first.decide(command) ?? second.decide(command),
    passesBy: Math.max(first.passesBy ?? 1, second.passesBy ?? 1),
    passes: (columns, at, argc) =>
      first.passes?.(columns, at, argc) === true && second.passes?.(columns, at, argc) === true,
  };
}

function missing(name: string): Rule {
  const who = whoHas(name);
  return refuseAlways(
    who === '' ? 'the target does not know this command' : `this command needs ${who}`,
  );
}
