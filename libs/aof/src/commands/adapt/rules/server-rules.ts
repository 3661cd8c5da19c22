import { argumentInteger } from '../../arguments.ts';
import type { CommandView, Part } from '../command-view.ts';
import { Refusal, refuseAlways, type Outcome, type Rule } from '../rule.ts';
import { isSince, type TargetDialect } from '../target-dialect.ts';
import { restoreTime, type RanAt } from './relative-rules.ts';

/**
 * Commands that name databases. A server that has fewer ignores a SELECT, and the writes after it
 * land in another database.
 * @param places - Which arguments hold a number of a database.
 */
export function databaseRule(dialect: TargetDialect, places: readonly number[]): Rule | null {
  const { databases } = dialect;
  if (databases === null) return null;
  const fits = (db: number): boolean => Number.isInteger(db) && db >= 0 && db < databases;
  return {
    passesBy: Math.max(...places) + 1,
    passes: (columns, at, argc) =>
      places.every((index) => index < argc && fits(argumentInteger(columns, at + index))),
    decide: (command) => {
      const wrong = places.map((index) => command.text(index)).find((db) => !fits(Number(db)));
      return wrong === undefined ? null : tooFew(wrong, databases);
    },
  };
}

/** `COPY source destination [DB n] [REPLACE]`. */
export function copyRule(dialect: TargetDialect): Rule | null {
  const { databases } = dialect;
  if (databases === null) return null;
  return {
    passes: (_columns, _at, argc) => argc <= 4,
    decide: (command) => {
      for (let index = 3; index + 1 < command.argc; index += 1) {
        if (command.text(index) !== 'db') continue;
        const db = command.integer(index + 1);
        if (!(db >= 0 && db < databases)) return tooFew(command.text(index + 1), databases);
      }
      return null;
    },
  };
}

function tooFew(db: string, databases: number): Refusal {
  return new Refusal(`it names database ${db} of ${String(databases)}`, true);
}

/** Changes one payload (RESTORE, FUNCTION RESTORE) for the target; see `Outcome` of a rule. */
export type AdaptPayload = (
  payload: Buffer,
  holds: 'value' | 'functions',
) => Buffer | { readonly refused: string } | null;

/**
 * `RESTORE key ttl payload [options]`: its payload for the target, its TTL as a time.
 * @param ranAt - Where TTLs may be relative; null = they are not.
 */
export function restoreRule(adaptPayload: AdaptPayload | null, ranAt: RanAt | null): Rule | null {
  if (adaptPayload === null && ranAt === null) return null;
  return {
    decide: (command) => {
      if (command.argc < 4) return new Refusal('it is not well formed');
      const time = ranAt === null ? null : restoreTime(command, ranAt);
      if (time instanceof Refusal) return time;
      const payload = adaptPayload?.(command.content(3), 'value') ?? null;
      if (payload !== null && !Buffer.isBuffer(payload)) return new Refusal(payload.refused);
      if (time === null && payload === null) return null;
      const flag = time === null ? [] : ['ABSTTL'];
      const options: Part = [4, command.argc];
      return [command.build([0, 2], time ?? [2, 3], payload ?? [3, 4], options, ...flag)];
    },
  };
}

/** `FUNCTION LOAD|DELETE|FLUSH|RESTORE ...`. */
export function functionRule(adaptPayload: AdaptPayload): Rule {
  return {
    decide: (command) =>
      command.text(1) === 'restore' ? withPayload(command, 2, adaptPayload, 'functions') : null,
  };
}

function withPayload(
  command: CommandView,
  index: number,
  adaptPayload: AdaptPayload,
  holds: 'value' | 'functions',
): Outcome {
  if (command.argc <= index) return new Refusal('it is not well formed');
  const adapted = adaptPayload(command.content(index), holds);
  if (adapted === null) return null;
  if (!Buffer.isBuffer(adapted)) return new Refusal(adapted.refused);
  return [command.build([0, index], adapted, [index + 1, command.argc])];
}

/**
 * `EVAL` and `EVALSHA` stand in a log of 6.x only when `lua-replicate-commands` was off. Later
 * servers run scripts otherwise, so that only 6.x is known to come to the same.
 */
export function scriptRule(dialect: TargetDialect): Rule | null {
  return isSince(dialect, 7_00_00, 0)
    ? refuseAlways('a script that was logged as it was sent needs a target of redis 6.x')
    : null;
}

const CLUSTER_TALK = new Set(['setslot']);

/**
 * `CLUSTER ...`: who owns a slot is nothing to a server that runs alone; what deletes the keys of a
 * slot, or shows keys of a migration that was under way, has no equal there.
 */
export const CLUSTER_RULE: Rule = {
  decide: (command) => {
    const name = command.text(1);
    if (CLUSTER_TALK.has(name) || (name === 'syncslots' && command.text(2) === 'conf')) return [];
    return new Refusal(`CLUSTER ${name.toUpperCase()} acts on slots, which this target has not`);
  },
};

/** SFLUSH and TRIMSLOTS. */
export const SLOTS_RULE: Rule = refuseAlways(
  'it deletes the keys of hash slots, which this target has not',
);
