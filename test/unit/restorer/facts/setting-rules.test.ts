import { describe, expect, it } from 'vitest';
import {
  isSafeSetting,
  reasonToLeave,
  refuseMaxmemory,
} from '../../../../services/restorer/src/facts/setting-rules.ts';

const GIB = 1024 ** 3;

describe('isSafeSetting()', () => {
  it.each([
    'maxmemory-policy',
    'notify-keyspace-events',
    'hash-max-listpack-entries',
    'zset-max-ziplist-value',
    'slowlog-log-slower-than',
    'timeout',
    'lfu-decay-time',
    'active-expire-effort',
    'lazyfree-lazy-user-del',
  ])('takes %s', (name) => expect(isSafeSetting(name)).toBe(true));

  it.each([
    ['dir', /machine/],
    ['bind', /machine/],
    ['bind-source-addr', /machine/],
    ['port', /machine/],
    ['io-threads', /machine/],
    ['save', /persistence/],
    ['appendonly', /persistence/],
    ['dbfilename', /persistence/],
    ['replicaof', /replication/],
    ['masteruser', /replication/],
    ['primaryuser', /replication/],
    ['min-replicas-to-write', /replication/],
    ['aclfile', /come in/],
    ['protected-mode', /come in/],
    ['enable-debug-command', /come in/],
    ['tls-port', /come in/],
    ['cluster-enabled', /cluster/],
    ['maxmemory', /not on the list/],
    ['search-threads', /not on the list/],
    ['', /not on the list/],
  ])('leaves %s and says why', (name, reason) => {
    expect(isSafeSetting(name)).toBe(false);
    expect(reasonToLeave(name)).toMatch(reason);
  });
});

describe('refuseMaxmemory()', () => {
  const target = { limit: GIB, used: GIB / 2, system: 4 * GIB };

  it('takes a limit between what is used and what the machine has', () => {
    expect(refuseMaxmemory(2 * GIB, target)).toBeNull();
    expect(refuseMaxmemory(GIB / 2, target)).toBeNull();
    expect(refuseMaxmemory(4 * GIB, target)).toBeNull();
  });

  it.each([
    ['lifts the limit', 0, target, /lift the limit/],
    ['would evict', GIB / 2 - 1, target, /less than the target uses/],
    ['is more than there is', 4 * GIB + 1, target, /more than the machine/],
    ['cannot be judged', GIB, { ...target, system: 0 }, /not known/],
    ['is no number', NaN, target, /no number/],
    ['is negative', -1, target, /no number/],
  ])('leaves one that %s', (_, wanted, memory, reason) => {
    expect(refuseMaxmemory(wanted, memory)).toMatch(reason);
  });
});
