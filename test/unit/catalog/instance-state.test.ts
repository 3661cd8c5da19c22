import {
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceEvent,
  type InstanceEventType,
  type InstanceState,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';

const atMs = 1000;
const arn = { provider: 'aws-kms', keyId: 'arn:aws:kms:x:1:key/2' } as const;
const events: Record<InstanceEventType, InstanceEvent> = {
  InstanceCreated: { type: 'InstanceCreated', iid: 'inst', name: 'orders', atMs },
  WriterRegistered: { type: 'WriterRegistered', shard: 's0', writer: 'w1', source: 'aof', atMs },
  WriterRetired: { type: 'WriterRetired', writer: 'w1', atMs },
  PolicySet: {
    type: 'PolicySet',
    policy: { days: ['mon'], hours: ['03:00Z-04:00Z'], retainSeconds: 604_800 },
    atMs,
  },
  KeyAdopted: { type: 'KeyAdopted', provider: 'ring', keyId: 'r1', atMs },
  TdeRequested: { type: 'TdeRequested', ...arn, auto: true, atMs },
  TdeLatched: { type: 'TdeLatched', ...arn, atMs },
  TdeEnabled: { type: 'TdeEnabled', backup: 'bk_1', atMs },
  TdeKeyChanged: { type: 'TdeKeyChanged', provider: 'ring', keyId: 'r2', auto: false, atMs },
  KeyShredded: { type: 'KeyShredded', scope: 'snapshot', dekIds: ['a'.repeat(32)], atMs },
  StoreProbed: {
    type: 'StoreProbed',
    ...{ url: 's3://bucket', conditionalCreate: true, multipartConditional: 'holds' },
    ...{ ranges: true, listingOrdered: true, objectLock: null, versioning: false, warnings: [] },
    atMs,
  },
  OriginalRestoreSet: { type: 'OriginalRestoreSet', allowed: true, atMs },
  LeaseTaken: {
    type: 'LeaseTaken',
    lease: 'ls_1',
    purpose: 'restore',
    fromSecond: 5,
    untilMs: 9000,
    atMs,
  },
  LeaseRenewed: { type: 'LeaseRenewed', lease: 'ls_1', untilMs: 12_000, atMs },
  LeaseReleased: { type: 'LeaseReleased', lease: 'ls_1', atMs },
  ExpiryTombstoned: {
    type: 'ExpiryTombstoned',
    tombstone: 'ts-1',
    floors: [{ writer: 'w1', timeline: 't1', offset: 100n }],
    cuts: [{ writer: 'w1', seq: 1024 }],
    unnamed: null,
    ...{ retainSeconds: 60, forced: false, objects: 3, bytes: 300, dueMs: 5000, atMs },
  },
  ExpiryBegun: { type: 'ExpiryBegun', tombstone: 'ts-1', atMs },
  ExpiryDone: { type: 'ExpiryDone', tombstone: 'ts-1', atMs },
  ExpiryRevoked: { type: 'ExpiryRevoked', tombstone: 'ts-1', atMs },
  InstanceRecycled: {
    type: 'InstanceRecycled',
    node: { url: 'redis://10.0.0.5:6379', user: 'capture', source: 'psync', passwordRef: 'a.pass' },
    ...{ by: 'ops', untilMs: 90_000, atMs },
  },
  InstanceRebuilt: { type: 'InstanceRebuilt', into: 'orders-2', job: 'job-1', by: 'ops', atMs },
  InstanceDue: { type: 'InstanceDue', atMs },
  InstanceReturned: { type: 'InstanceReturned', by: 'ops', atMs },
  InstanceDestroyed: { type: 'InstanceDestroyed', by: 'ops', dueMs: 5000, atMs },
  InstanceErased: { type: 'InstanceErased', atMs },
  JobClaimed: {
    type: 'JobClaimed',
    ...{ job: 'job-1', kind: 'restore', by: 'alice', worker: 'h1.1', attempt: 1 },
    ...{ untilMs: 5000, atMs },
  },
  JobRenewed: { type: 'JobRenewed', job: 'job-1', worker: 'h1.1', untilMs: 6000 },
  JobEnded: { type: 'JobEnded', job: 'job-1', worker: 'h1.1', outcome: 'succeeded', atMs },
  BackupLabelled: {
    type: 'BackupLabelled',
    ...{ backup: 'bk_1', labels: [{ key: 'team', value: 'data' }], by: 'ops', atMs },
  },
  BackupDeleted: { type: 'BackupDeleted', backup: 'bk_1', by: 'ops', atMs },
  BackupUndeleted: { type: 'BackupUndeleted', backup: 'bk_1', by: 'ops', atMs },
  BackupsForgotten: { type: 'BackupsForgotten', backups: ['bk_1'], atMs },
  InstanceRemoved: { type: 'InstanceRemoved', atMs },
};

const fold = (...types: readonly InstanceEventType[]): InstanceState =>
  types.reduce<InstanceState>(
    (state, type) => evolveInstance(state, events[type], state.seq + 1, '1'.repeat(64)),
    EMPTY_INSTANCE_STATE,
  );

const states = {
  empty: fold(),
  created: fold('InstanceCreated'),
  busy: fold(
    ...(['InstanceCreated', 'WriterRegistered', 'TdeLatched', 'LeaseTaken'] as const),
    ...(['ExpiryTombstoned', 'ExpiryBegun'] as const),
  ),
  removed: fold('InstanceCreated', 'LeaseTaken', 'ExpiryTombstoned', 'InstanceRemoved'),
} as const;
type State = keyof typeof states;
type Expected = 'allowed' | RegExp;
const absent = /does not exist/;
const removed = /is removed/;

const table: Record<State, Record<InstanceEventType, Expected>> = {
  empty: {
    InstanceCreated: 'allowed',
    WriterRegistered: absent,
    WriterRetired: absent,
    PolicySet: absent,
    KeyAdopted: absent,
    TdeRequested: absent,
    TdeLatched: absent,
    TdeEnabled: absent,
    TdeKeyChanged: absent,
    KeyShredded: absent,
    StoreProbed: absent,
    OriginalRestoreSet: absent,
    LeaseTaken: absent,
    LeaseReleased: absent,
    LeaseRenewed: absent,
    ExpiryTombstoned: absent,
    ExpiryBegun: absent,
    ExpiryDone: absent,
    ExpiryRevoked: absent,
    InstanceRecycled: absent,
    InstanceRebuilt: absent,
    InstanceDue: absent,
    InstanceReturned: absent,
    InstanceDestroyed: absent,
    InstanceErased: absent,
    JobClaimed: absent,
    JobRenewed: absent,
    JobEnded: absent,
    BackupLabelled: absent,
    BackupDeleted: absent,
    BackupUndeleted: absent,
    BackupsForgotten: absent,
    InstanceRemoved: absent,
  },
  created: {
    InstanceCreated: /the instance exists/,
    WriterRegistered: 'allowed',
    WriterRetired: /is not registered/,
    PolicySet: 'allowed',
    KeyAdopted: 'allowed',
    TdeRequested: 'allowed',
    TdeLatched: 'allowed',
    TdeEnabled: /TDE is not latched/,
    TdeKeyChanged: /TDE is not latched/,
    KeyShredded: 'allowed',
    StoreProbed: 'allowed',
    OriginalRestoreSet: 'allowed',
    LeaseTaken: 'allowed',
    LeaseReleased: /is not taken/,
    LeaseRenewed: /is not taken/,
    ExpiryTombstoned: 'allowed',
    ExpiryBegun: /does not stand/,
    ExpiryDone: /does not stand/,
    ExpiryRevoked: /does not stand/,
    InstanceRecycled: 'allowed',
    InstanceRebuilt: /not in the recycle bin/,
    InstanceDue: /not in the recycle bin/,
    InstanceReturned: /not in the recycle bin/,
    InstanceDestroyed: /not in the recycle bin/,
    InstanceErased: /is not destroyed/,
    JobClaimed: 'allowed',
    JobRenewed: /does not have the job/,
    JobEnded: /does not have the job/,
    BackupLabelled: 'allowed',
    BackupDeleted: 'allowed',
    BackupUndeleted: /is not deleted/,
    BackupsForgotten: 'allowed',
    InstanceRemoved: 'allowed',
  },
  busy: {
    InstanceCreated: /the instance exists/,
    WriterRegistered: /is registered/,
    WriterRetired: 'allowed',
    PolicySet: 'allowed',
    KeyAdopted: 'allowed',
    TdeRequested: /TDE is on/,
    TdeLatched: /TDE is on/,
    TdeEnabled: 'allowed',
    TdeKeyChanged: 'allowed',
    KeyShredded: 'allowed',
    StoreProbed: 'allowed',
    OriginalRestoreSet: 'allowed',
    LeaseTaken: /is taken/,
    LeaseReleased: 'allowed',
    LeaseRenewed: 'allowed',
    ExpiryTombstoned: /a tombstone stands/,
    ExpiryBegun: /has begun/,
    ExpiryDone: 'allowed',
    ExpiryRevoked: /has begun/,
    InstanceRecycled: 'allowed',
    InstanceRebuilt: /not in the recycle bin/,
    InstanceDue: /not in the recycle bin/,
    InstanceReturned: /not in the recycle bin/,
    InstanceDestroyed: /not in the recycle bin/,
    InstanceErased: /is not destroyed/,
    JobClaimed: 'allowed',
    JobRenewed: /does not have the job/,
    JobEnded: /does not have the job/,
    BackupLabelled: 'allowed',
    BackupDeleted: 'allowed',
    BackupUndeleted: /is not deleted/,
    BackupsForgotten: 'allowed',
    InstanceRemoved: 'allowed',
  },
  removed: {
    InstanceCreated: /the instance exists/,
    WriterRegistered: removed,
    WriterRetired: removed,
    PolicySet: removed,
    KeyAdopted: removed,
    TdeRequested: removed,
    TdeLatched: removed,
    TdeEnabled: removed,
    TdeKeyChanged: removed,
    KeyShredded: 'allowed',
    StoreProbed: removed,
    OriginalRestoreSet: removed,
    LeaseTaken: /is taken/,
    LeaseReleased: 'allowed',
    LeaseRenewed: 'allowed',
    ExpiryTombstoned: /a tombstone stands/,
    ExpiryBegun: 'allowed',
    ExpiryDone: /has not begun/,
    ExpiryRevoked: 'allowed',
    InstanceRecycled: removed,
    InstanceRebuilt: removed,
    InstanceDue: removed,
    InstanceReturned: removed,
    InstanceDestroyed: removed,
    InstanceErased: removed,
    JobClaimed: 'allowed',
    JobRenewed: /does not have the job/,
    JobEnded: /does not have the job/,
    BackupLabelled: 'allowed',
    BackupDeleted: 'allowed',
    BackupUndeleted: /is not deleted/,
    BackupsForgotten: 'allowed',
    InstanceRemoved: removed,
  },
};

describe('the rules of an instance log', () => {
  for (const [name, row] of Object.entries(table) as [State, (typeof table)[State]][]) {
    for (const [type, expected] of Object.entries(row) as [InstanceEventType, Expected][]) {
      it(`${name}: ${type} is ${expected === 'allowed' ? 'allowed' : 'refused'}`, () => {
        const attempt = (): unknown => decideInstance(states[name], events[type]);
        if (expected === 'allowed') expect(attempt()).toBe(events[type]);
        else expect(attempt).toThrow(expected);
      });
    }
  }

  it('holds what the events said', () => {
    const types = Object.keys(events) as InstanceEventType[];
    expect(
      fold(
        ...types.filter(
          (type) => !/^(ExpiryRevoked|Instance(Rec|Reb|Ret|Due|Des|Era).*)$/.test(type),
        ),
      ),
    ).toMatchObject({
      seq: 25,
      iid: 'inst',
      name: 'orders',
      createdMs: atMs,
      removedMs: atMs,
      writers: [{ shard: 's0', writer: 'w1', source: 'aof', retiredMs: atMs }],
      policy: { retainSeconds: 604_800 },
      keys: [{ provider: 'ring', keyId: 'r1' }, arn, { provider: 'ring', keyId: 'r2' }],
      tde: { keyId: 'r2', auto: false, sinceMs: atMs, latchedMs: atMs, enabledMs: atMs },
      shredded: { instanceMs: null, dekIds: ['a'.repeat(32)] },
      originalRestore: true,
      leases: [],
      expiry: { floors: [{ writer: 'w1', timeline: 't1', offset: 100n }], tombstone: null },
    });
  });

  it('asks for TDE again only with another key, and latches only the key asked for last', () => {
    const asked = fold('InstanceCreated', 'TdeRequested');
    const other = { ...events.TdeRequested, keyId: 'arn:aws:kms:x:1:key/3' } as InstanceEvent;
    expect(() => decideInstance(asked, events.TdeRequested)).toThrow(/asked for with this key/);
    const again = evolveInstance(asked, other, asked.seq + 1, '1'.repeat(64));
    expect(again.tde).toMatchObject({ keyId: 'arn:aws:kms:x:1:key/3', latchedMs: null });
    expect(() => decideInstance(again, events.TdeLatched)).toThrow(/asked for with another key/);
  });

  it('adopts a key once and knows no event after which TDE is off', () => {
    const on = fold('InstanceCreated', 'KeyAdopted', 'TdeRequested', 'TdeLatched', 'TdeEnabled');
    expect(() => decideInstance(on, events.KeyAdopted)).toThrow(/is adopted/);
    for (const event of Object.values(events)) {
      let after = on;
      try {
        after = evolveInstance(on, event, on.seq + 1, '1'.repeat(64));
      } catch {
        continue; // refused: nothing changed
      }
      expect(after.tde?.latchedMs).toBe(atMs);
    }
  });

  it('destroys a whole instance without a list, and single keys only with one', () => {
    const created = states.created;
    const shred = (scope: 'snapshot' | 'instance', dekIds: readonly string[] | null) =>
      ({ type: 'KeyShredded', scope, dekIds, atMs }) as const;
    expect(() => decideInstance(created, shred('instance', ['b'.repeat(32)]))).toThrow(/no list/);
    expect(() => decideInstance(created, shred('snapshot', null))).toThrow(/no list/);
    expect(() => decideInstance(created, shred('snapshot', []))).toThrow(/names no key/);
    const all = evolveInstance(created, shred('instance', null), 1, '1'.repeat(64));
    expect(all.shredded).toEqual({ instanceMs: atMs, dekIds: [] });
  });

  it('shows again what a tombstone hid when it is taken back', () => {
    const marked = fold('InstanceCreated', 'ExpiryTombstoned');
    expect(marked.expiry).toMatchObject({
      floors: [{ writer: 'w1', offset: 100n }],
      tombstone: { begun: false, before: [], dueMs: 5000 },
    });
    const back = fold('InstanceCreated', 'ExpiryTombstoned', 'ExpiryRevoked');
    expect(back.expiry).toEqual({ floors: [], dropped: [], tombstone: null });
    const nothing = { ...events.ExpiryTombstoned, floors: [], cuts: [] } as InstanceEvent;
    expect(() => decideInstance(states.created, nothing)).toThrow(/marks nothing/);
  });

  it('forgets a lease a day after it ended by itself, and never a hold', () => {
    const take = (lease: string, purpose: 'hold' | 'restore', at: number): InstanceEvent => ({
      ...{ type: 'LeaseTaken', lease, purpose, fromSecond: 0 },
      ...{ untilMs: at + 1000, atMs: at },
    });
    const day = 86_400_000;
    const state = [
      take('ls_a', 'restore', 0),
      take('ls_b', 'hold', 0),
      take('ls_c', 'restore', 10),
      take('ls_d', 'restore', day + 1005),
    ].reduce((at, event) => evolveInstance(at, event, at.seq + 1, '1'.repeat(64)), states.created);
    expect(state.leases.map(({ lease }) => lease)).toEqual(['ls_b', 'ls_c', 'ls_d']);
  });

  it('refuses the 1,025th lease', () => {
    let state = states.created;
    const take = (index: number): InstanceEvent => ({
      type: 'LeaseTaken',
      lease: `ls_${index}`,
      purpose: 'hold',
      fromSecond: 0,
      untilMs: 1,
      atMs,
    });
    for (let i = 0; i < 1024; i++) {
      state = evolveInstance(state, take(i), state.seq + 1, '1'.repeat(64));
    }
    expect(() => decideInstance(state, take(1024))).toThrow(/more than 1024 leases/);
  });
});
