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
const events: Record<InstanceEventType, InstanceEvent> = {
  InstanceCreated: { type: 'InstanceCreated', iid: 'inst', name: 'orders', atMs },
  WriterRegistered: { type: 'WriterRegistered', shard: 's0', writer: 'w1', source: 'aof', atMs },
  WriterRetired: { type: 'WriterRetired', writer: 'w1', atMs },
  PolicySet: {
    type: 'PolicySet',
    policy: { days: ['mon'], hours: ['03:00Z-04:00Z'], retainSeconds: 604_800 },
    atMs,
  },
  TdeLatched: { type: 'TdeLatched', provider: 'aws-kms', keyId: 'arn:aws:kms:x:1:key/2', atMs },
  OriginalRestoreSet: { type: 'OriginalRestoreSet', allowed: true, atMs },
  LeaseTaken: {
    type: 'LeaseTaken',
    lease: 'ls_1',
    purpose: 'restore',
    fromSecond: 5,
    untilMs: 9000,
    atMs,
  },
  LeaseReleased: { type: 'LeaseReleased', lease: 'ls_1', atMs },
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
  busy: fold('InstanceCreated', 'WriterRegistered', 'TdeLatched', 'LeaseTaken'),
  removed: fold('InstanceCreated', 'LeaseTaken', 'InstanceRemoved'),
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
    TdeLatched: absent,
    OriginalRestoreSet: absent,
    LeaseTaken: absent,
    LeaseReleased: absent,
    InstanceRemoved: absent,
  },
  created: {
    InstanceCreated: /the instance exists/,
    WriterRegistered: 'allowed',
    WriterRetired: /is not registered/,
    PolicySet: 'allowed',
    TdeLatched: 'allowed',
    OriginalRestoreSet: 'allowed',
    LeaseTaken: 'allowed',
    LeaseReleased: /is not taken/,
    InstanceRemoved: 'allowed',
  },
  busy: {
    InstanceCreated: /the instance exists/,
    WriterRegistered: /is registered/,
    WriterRetired: 'allowed',
    PolicySet: 'allowed',
    TdeLatched: /TDE is on/,
    OriginalRestoreSet: 'allowed',
    LeaseTaken: /is taken/,
    LeaseReleased: 'allowed',
    InstanceRemoved: 'allowed',
  },
  removed: {
    InstanceCreated: /the instance exists/,
    WriterRegistered: removed,
    WriterRetired: removed,
    PolicySet: removed,
    TdeLatched: removed,
    OriginalRestoreSet: removed,
    LeaseTaken: removed,
    LeaseReleased: 'allowed',
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
    expect(fold(...(Object.keys(events) as InstanceEventType[]))).toMatchObject({
      seq: 8,
      iid: 'inst',
      name: 'orders',
      createdMs: atMs,
      removedMs: atMs,
      writers: [{ shard: 's0', writer: 'w1', source: 'aof', retiredMs: atMs }],
      policy: { retainSeconds: 604_800 },
      tde: { provider: 'aws-kms', sinceMs: atMs },
      originalRestore: true,
      leases: [],
    });
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
