import type { Invocation } from '../invocation.ts';

/** What a user of a server is for. */
export type AclRole = 'capture' | 'replicate' | 'restore' | 'write-back' | 'sentinel';

/** Commands that make a user with the least rights for its role. */
export interface AclRule {
  readonly role: AclRole;
  readonly what: string;
  /** `ACL SETUSER …`; PASSWORD is to be replaced. */
  readonly rules: readonly string[];
}

/**
 * The users that Tidemark needs; docs/acl.md has the same rules, and says what else is of use. Each
 * right in them was taken away in turn and missed (test/e2e/access, test/e2e/access-psync).
 */
export const ACL_RULES: readonly AclRule[] = [
  {
    role: 'capture',
    what: 'captures from append-only files (--source aof); reads no key',
    rules: [
      'ACL SETUSER capture on >PASSWORD resetkeys resetchannels -@all +info +time +multi +exec +discard +config|get +config|set +bgrewriteaof',
    ],
  },
  {
    role: 'replicate',
    what: 'captures by replication (--source psync) and dumps; sees all data, as every replica does',
    rules: [
      'ACL SETUSER replicate on >PASSWORD resetkeys resetchannels -@all +psync +replconf +ping +info +time +multi +exec +discard',
    ],
  },
  {
    role: 'restore',
    what: 'on the target of a restore: makes it follow the feed and promotes it',
    rules: [
      'ACL SETUSER restore on >PASSWORD allkeys resetchannels -@all +info +config|get +config|set +replicaof +multi +exec +discard +select +scan +exists +memory|usage +flushall +function|list +function|flush +bgrewriteaof +bgsave',
    ],
  },
  {
    role: 'write-back',
    what: 'what the user that captures needs besides: to read keys of the original, then to write them',
    rules: [
      'ACL SETUSER capture ~* +multi +exec +discard +select +ping +info +time +command +scan +exists +type +pttl +pexpiretime +memory|usage +dump +strlen +getrange +llen +lrange +scard +sismember +smismember +sscan +zcard +zrange +zscan +hlen +hscan +hstrlen +hmget +hpexpiretime +xlen +xrange +xinfo +xpending',
      'ACL SETUSER capture +watch +unwatch +restore +unlink +rename +persist +pexpire +pexpireat +append +rpush +sadd +zadd +hset +hpexpireat +xadd +xdel +xsetid +xgroup +xclaim +setrange',
    ],
  },
  {
    role: 'sentinel',
    what: 'on Sentinels (redis+sentinel://)',
    rules: [
      'ACL SETUSER tidemark on >PASSWORD resetchannels &+switch-master -@all +ping +subscribe +client|setname +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters +sentinel|replicas +sentinel|sentinels +sentinel|myid',
    ],
  },
];

/** Prints the users for a source of capture, ready to be pasted into redis-cli. */
export function printAclRules(
  { source, url = '' }: { readonly source: 'aof' | 'psync'; readonly url?: string },
  { printer }: Invocation,
): void {
  const wanted: readonly AclRole[] = [
    source === 'psync' ? 'replicate' : 'capture',
    'restore',
    'write-back',
    ...(/^rediss?\+sentinel:/.test(url) ? (['sentinel'] as const) : []),
  ];
  const rules = ACL_RULES.filter(({ role }) => wanted.includes(role)).map((rule) =>
    // Keys are written as the user that captures, whatever its name.
    source === 'psync' ? { ...rule, rules: rule.rules.map(asReplicate) } : rule,
  );
  printer.result({ rules }, () => [
    ...rules.flatMap(({ what, rules: lines }) => [`# ${what}`, ...lines, '']),
    '# put a password of its own in place of PASSWORD, then ACL SAVE or CONFIG REWRITE; docs/acl.md says more',
  ]);
}

function asReplicate(rule: string): string {
  return rule.replace('ACL SETUSER capture ', 'ACL SETUSER replicate ');
}
