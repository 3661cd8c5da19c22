import { isSince, NEVER, type TargetDialect } from './target-dialect.ts';

/** The first version of Redis and of Valkey that has a command. */
export interface CommandSince {
  readonly redis: number;
  readonly valkey: number;
}

// `since` of redis src/commands/*.json (8.6) and valkey src/commands/*.json (9.1). Valkey begins with
// 7.2 and has everything that Redis 7.2 has; what is not listed is older than Redis 6.0. Commands of
// modules are not listed: only the server itself can tell.
const GROUPS: readonly (readonly [redis: number, valkey: number, names: string])[] = [
  [6_02_00, 0, 'copy getex getdel lmove blmove geosearchstore zrangestore zdiffstore xautoclaim'],
  [7_00_00, 0, 'function fcall lmpop blmpop zmpop bzmpop spublish'],
  [7_04_00, 9_00_00, 'hexpire hexpireat hpexpire hpexpireat hpersist'],
  [8_00_00, 9_00_00, 'hsetex hgetex'],
  [8_00_00, 9_01_00, 'hgetdel'],
  [8_00_00, NEVER, 'sflush'],
  [8_02_00, NEVER, 'xdelex xackdel'],
  [8_04_00, NEVER, 'delex trimslots'],
  [8_04_00, 9_01_00, 'msetex'],
  [NEVER, 9_00_00, 'delifeq'],
  [8_06_00, NEVER, 'xcfgset xidmprecord'],
  [8_10_00, NEVER, 'hsetc'],
];

const SINCE = new Map<string, CommandSince>(
  GROUPS.flatMap(([redis, valkey, names]) =>
    names.split(' ').map((name): [string, CommandSince] => [name, { redis, valkey }]),
  ),
);

/** Whether the target runs a command of this name (lower case). */
export function hasCommand(dialect: TargetDialect, name: string): boolean {
  if (dialect.commands !== null) return dialect.commands.includes(name);
  const since = SINCE.get(name);
  return since === undefined || isSince(dialect, since.redis, since.valkey);
}

/** Which servers have a command, for people; empty when that is not known. */
export function whoHas(name: string): string {
  const since = SINCE.get(name);
  if (since === undefined) return '';
  const text = (product: string, version: number): string[] =>
    version === NEVER
      ? []
      : [
          version === 0
            ? product
            : `${product} ${Math.floor(version / 10_000)}.${Math.floor(version / 100) % 100}`,
        ];
  return [...text('redis', since.redis), ...text('valkey', since.valkey)].join(' or ');
}
