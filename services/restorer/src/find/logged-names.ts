import { findCommand, SPEC_UNKNOWN } from '@tidemark/aof';

/**
 * Commands that a server does not log under their own name, and what it logs in their place.
 * Observed on Redis 6.0, 7.0, 8.0, 8.6 and Valkey 8.1, 9.1 (test/integration/find); redis src/expire.c,
 * t_string.c, t_set.c, t_hash.c, t_stream.c, blocked.c, script.c.
 */
const LOGGED_AS: readonly (readonly [names: string, logged: string, note?: string])[] = [
  ['expire expireat pexpire', 'pexpireat,del,unlink', 'the last two when the time had passed'],
  ['setex psetex', 'set,pexpireat', 'PEXPIREAT only before 7.0'],
  ['getset', 'set,getset', 'GETSET only before 6.2'],
  ['getex', 'pexpireat,persist,del,unlink', 'the last two when the time had passed'],
  ['getdel delifeq', 'del,unlink'],
  ['delex', 'del,unlink,delex', 'DELEX only without a condition'],
  ['incrbyfloat', 'set', 'with KEEPTTL'],
  ['hincrbyfloat', 'hset,hsetex'],
  ['spop', 'srem,del,unlink', 'DEL or UNLINK when the set became empty'],
  ['blpop', 'lpop'],
  ['brpop', 'rpop'],
  ['lmpop blmpop', 'lpop,rpop'],
  ['brpoplpush', 'rpoplpush'],
  ['blmove', 'lmove'],
  ['bzpopmin', 'zpopmin'],
  ['bzpopmax', 'zpopmax'],
  ['zmpop bzmpop', 'zpopmin,zpopmax'],
  ['xreadgroup', 'xclaim,xgroup'],
  ['xautoclaim', 'xclaim'],
  ['hexpire hpexpire hexpireat', 'hpexpireat,hdel', 'HDEL when the time had passed'],
  ['hgetex', 'hpexpireat,hpersist'],
  ['hgetdel', 'hdel,hgetdel', 'HGETDEL only on Valkey'],
  ['geoadd', 'zadd'],
  ['migrate', 'del,restore', 'DEL at the source, RESTORE at the target'],
  ['eval evalsha fcall', '', 'the commands that the script ran'],
];

/** What is to be said of a name that is asked for although logs do not hold it. */
export interface NameNote {
  /** Names to look for in its place, lower case; empty = none can be told. */
  readonly instead: readonly string[];
  /** A sentence for people. */
  readonly text: string;
}

/**
 * What is to be said of a name that is looked for; null = logs hold it as it is.
 * @param name - Lower case.
 */
export function noteOnName(name: string): NameNote | null {
  const shown = name.toUpperCase();
  for (const [names, logged, note] of LOGGED_AS) {
    if (!names.split(' ').includes(name)) continue;
    const instead = logged === '' ? [] : logged.split(',');
    const what = instead.map((one) => one.toUpperCase()).join(', ');
    if (what === '') return { instead, text: `servers log ${shown} as ${note ?? 'nothing'}` };
    const more = note === undefined ? '' : ` (${note})`;
    const text = `servers log ${shown} as ${what}${more}: look for --command ${what.replaceAll(' ', '')}`;
    return { instead, text };
  }
  const bytes = Buffer.from(name, 'latin1');
  if (findCommand(bytes, 0, bytes.length) !== SPEC_UNKNOWN) return null;
  return {
    instead: [],
    text: `no log is known to hold ${shown}: it changes nothing, is logged under another name, or is of a module`,
  };
}
