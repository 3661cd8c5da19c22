import { describe, expect, it } from 'vitest';
import {
  findRefusals,
  type TargetNeeds,
} from '../../../../services/restorer/src/target/refusals.ts';
import type { TargetFacts } from '../../../../services/restorer/src/target/target-facts.ts';

const FIT: TargetFacts = {
  product: 'redis',
  version: '7.0.15',
  versionNumber: 7_00_15,
  runId: 'a'.repeat(40),
  processId: 1,
  executable: '',
  tcpPort: 6379,
  role: 'master',
  master: null,
  replicas: [],
  cluster: false,
  loading: false,
  modules: [],
  databases: 16,
  keyspace: [],
  usedMemory: 1e6,
  config: {},
  functions: 0,
  sentinels: 0,
  systemMemory: 8e9,
  maxmemory: 0,
  maxmemoryPolicy: 'noeviction',
  appendonly: false,
  save: '',
  tlsReplication: false,
  commands: null,
};
const NEEDS: TargetNeeds = {
  databases: 16,
  rdb: {
    ...{ product: 'redis', version: 10, minVersion: 10, types: { 0: 1 } },
    ...{ fieldTtl: false, functions: 1 },
  },
  modules: [],
  dataBytes: 1e9,
  allowFlush: false,
};
const FIELDS = { ...NEEDS.rdb, version: 12, minVersion: 12, fieldTtl: true };
const codes = (facts: Partial<TargetFacts>, needs: Partial<TargetNeeds> = {}): string[] =>
  findRefusals({ ...FIT, ...facts }, { ...NEEDS, ...needs }).map(({ code }) => code);

const KEYSPACE = [{ db: 3, keys: 2, expires: 0 }];

describe('findRefusals()', () => {
  it('has nothing against a server that fits', () => {
    expect(codes({})).toEqual([]);
  });

  it.each<[string, Partial<TargetFacts>, Partial<TargetNeeds>, string]>([
    ['keys in any database', { keyspace: KEYSPACE }, {}, 'TM_TARGET_NOT_EMPTY'],
    ['functions alone', { functions: 1 }, {}, 'TM_TARGET_NOT_EMPTY'],
    [
      'replicas',
      { replicas: [{ ip: '10.0.0.1', port: 1, state: 'online' }] },
      {},
      'TM_TARGET_REPLICAS',
    ],
    ['Sentinels', { sentinels: 3 }, {}, 'TM_TARGET_REPLICAS'],
    ['being a replica', { role: 'replica' }, {}, 'TM_TARGET_REPLICAS'],
    ['cluster mode', { cluster: true }, {}, 'TM_TARGET_CLUSTER'],
    ['too few databases', {}, { databases: 17 }, 'TM_TARGET_DATABASES'],
    ['expiries of fields', {}, { rdb: FIELDS }, 'TM_TARGET_RDB_VERSION'],
    ['a missing module', {}, { modules: ['ReJSON-RL'] }, 'TM_TARGET_MODULES'],
    ['a maxmemory below the data', { maxmemory: 9e8 }, {}, 'TM_TARGET_MEMORY'],
    [
      'an evicting server without room to spare',
      { maxmemory: 1.05e9, maxmemoryPolicy: 'allkeys-lru' },
      {},
      'TM_TARGET_MEMORY',
    ],
    ['a machine that is too small', { systemMemory: 5e8 }, {}, 'TM_TARGET_MEMORY'],
    ['replication over TLS', { tlsReplication: true }, {}, 'TM_TARGET_SETTING'],
    [
      'a version before 6.0',
      { version: '5.0.7', versionNumber: 5_00_07 },
      { rdb: { ...NEEDS.rdb, functions: 0 } },
      'TM_NODE_VERSION',
    ],
    [
      'functions for a server without them',
      { versionNumber: 6_02_00 },
      {},
      'TM_TARGET_RDB_VERSION',
    ],
  ])('refuses for %s', (_name, facts, needs, code) => {
    expect(codes(facts, needs)).toEqual([code]);
  });

  it.each<[string, Partial<TargetFacts>, Partial<TargetNeeds>]>([
    [
      'replication over TLS, with a certificate for it',
      { tlsReplication: true },
      { feedTls: true },
    ],
    [
      'data in the target when it may go',
      { keyspace: KEYSPACE, functions: 1 },
      { allowFlush: true },
    ],
    ['a maxmemory that is just enough', { maxmemory: 1e9 }, {}],
    [
      'an evicting server with room to spare',
      { maxmemory: 1.2e9, maxmemoryPolicy: 'allkeys-lru' },
      {},
    ],
    ['data of unknown size', { maxmemory: 1 }, { dataBytes: 0 }],
    ['a snapshot of a newer server', {}, { rdb: { ...NEEDS.rdb, version: 12, minVersion: 11 } }],
    ['a server that does not tell its databases', { databases: null }, {}],
  ])('accepts %s', (_name, facts, needs) => {
    expect(codes(facts, needs)).toEqual([]);
  });

  it('names all reasons, cluster mode before an own dataset', () => {
    expect(codes({ cluster: true, keyspace: KEYSPACE, tlsReplication: true })).toEqual([
      'TM_TARGET_CLUSTER',
      'TM_TARGET_NOT_EMPTY',
      'TM_TARGET_SETTING',
    ]);
  });

  it('exits with 15 for a target that holds data, and counts them', () => {
    const [refusal] = findRefusals({ ...FIT, keyspace: KEYSPACE, functions: 4 }, NEEDS);
    expect(refusal?.exitCode).toBe(15);
    expect(refusal?.context).toEqual({ keys: 2, functions: 4 });
  });
});
