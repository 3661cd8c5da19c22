import {
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceEvent,
  type InstanceState,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { instanceEventShape } from '../../../libs/catalog/src/model/wire/instance-event-shape.ts';
import { instanceStateShape } from '../../../libs/catalog/src/model/wire/state-shape.ts';

const atMs = 1_000;
const node = {
  url: 'redis://10.0.0.5:6379',
  user: null,
  source: 'psync',
  passwordRef: 'orders.pass',
} as const;
const created: InstanceEvent = { type: 'InstanceCreated', iid: 'orders', name: 'orders', atMs };
const writer: InstanceEvent = {
  ...{ type: 'WriterRegistered', shard: 's0', writer: 'w1', source: 'psync', atMs },
};
const recycled: InstanceEvent = { type: 'InstanceRecycled', node, by: 'ops', untilMs: 9_000, atMs };
const returned: InstanceEvent = { type: 'InstanceReturned', by: 'ops', atMs };
const due: InstanceEvent = { type: 'InstanceDue', atMs: 9_500 };
const destroyed: InstanceEvent = { type: 'InstanceDestroyed', by: 'ops', dueMs: 5_000, atMs };
const erased: InstanceEvent = { type: 'InstanceErased', atMs };
const rebuilt = (job: string): InstanceEvent => ({
  ...{ type: 'InstanceRebuilt', into: 'orders-2', job, by: 'ops', atMs },
});

function fold(...events: readonly InstanceEvent[]): InstanceState {
  return events.reduce(
    (state, event) => evolveInstance(state, event, state.seq + 1, '1'.repeat(64)),
    EMPTY_INSTANCE_STATE,
  );
}

describe('an instance in the recycle bin', () => {
  it('keeps what it takes to make it anew, and the last rebuilds', () => {
    const jobs = Array.from({ length: 20 }, (_, index) => rebuilt(`job-${index}`));
    const state = fold(created, writer, recycled, ...jobs);
    expect(state.recycle).toMatchObject({ node, by: 'ops', sinceMs: atMs, untilMs: 9_000 });
    expect(state.recycle?.rebuilds.map(({ job }) => job)).toEqual(
      Array.from({ length: 16 }, (_, index) => `job-${index + 4}`),
    );
  });

  it('is not captured, and is not put there twice', () => {
    const state = fold(created, recycled);
    expect(() => decideInstance(state, writer)).toThrow(/is in the recycle bin/);
    expect(() => decideInstance(state, recycled)).toThrow(/is in the recycle bin/);
    expect(() => decideInstance(state, erased)).toThrow(/is not destroyed/);
  });

  it('is as before once it was taken back', () => {
    expect(fold(created, writer, recycled, returned)).toMatchObject({
      recycle: null,
      writers: [{ writer: 'w1', retiredMs: null }],
    });
    expect(() => decideInstance(fold(created, recycled, returned), writer)).not.toThrow();
  });

  it('cannot be had back once it is destroyed', () => {
    const state = fold(created, writer, recycled, destroyed);
    for (const event of [returned, rebuilt('job-1'), recycled, due, writer, destroyed]) {
      expect(() => decideInstance(state, event)).toThrow(/is destroyed/);
    }
    const keys = { type: 'KeyShredded', scope: 'instance', dekIds: null, atMs } as const;
    expect(() => decideInstance(state, keys)).not.toThrow();
  });

  it('names no writer any more from the moment its objects go', () => {
    const state = fold(created, writer, recycled, destroyed, erased);
    expect(state).toMatchObject({ writers: [], leases: [], recycle: { erasedMs: atMs } });
    expect(() => decideInstance(state, erased)).toThrow(/is erased/);
  });

  it('reads back what was written, event and fold', () => {
    for (const event of [recycled, returned, rebuilt('job-1'), due, destroyed, erased]) {
      const json = instanceEventShape.encode(event, '$');
      expect(instanceEventShape.decode(json, '$')).toEqual(event);
    }
    const bare = { ...recycled, node: null };
    expect(instanceEventShape.decode(instanceEventShape.encode(bare, '$'), '$')).toEqual(bare);
    const state = fold(created, writer, recycled, rebuilt('job-1'), destroyed);
    const json = instanceStateShape.encode(state, '$');
    expect(instanceStateShape.decode(json, '$')).toEqual(state);
  });

  it('says since when it is due, until it is taken back; what was written before reads as it did', () => {
    expect(instanceEventShape.encode(due, '$')).toEqual({ type: 'InstanceDue', atMs: 9_500 });
    const state = fold(created, recycled, due);
    expect(state.recycle).toMatchObject({ dueSinceMs: 9_500, destroyed: null });
    const json = instanceStateShape.encode(state, '$');
    expect(instanceStateShape.decode(json, '$')).toEqual(state);
    const before = instanceStateShape.encode(fold(created, recycled), '$');
    expect((before as unknown as InstanceState).recycle).not.toHaveProperty('dueSinceMs');
    expect(fold(created, recycled, due, returned, recycled).recycle).toEqual(
      fold(created, recycled).recycle,
    );
  });

  it.each([
    ['a password', { ...node, password: 'x' }],
    ['a path as a reference', { ...node, passwordRef: '../x' }],
  ])('does not hold %s', (_, wrong) => {
    const json = {
      ...{ type: 'InstanceRecycled', by: 'ops', untilMs: 1, atMs: 1 },
      node: wrong,
    };
    expect(() => instanceEventShape.decode(json, '$')).toThrow();
  });
});
