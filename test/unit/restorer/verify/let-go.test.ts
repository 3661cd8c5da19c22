import type { InstanceEvent } from '@tidemark/catalog';
import { expect, it } from 'vitest';
import { LetGo } from '../../../../services/restorer/src/verify/let-go.ts';
import type { LoggedObject } from '../../../../services/restorer/src/verify/stored-objects.ts';
import { LOG } from '../../../support/log-events.ts';

const { iid, writer } = LOG;
const atMs = 1;
const created: InstanceEvent = { type: 'InstanceCreated', iid, name: iid, atMs };
const registered: InstanceEvent = {
  ...{ type: 'WriterRegistered', shard: '0', writer, source: 'aof', atMs },
};
const marks = (tombstone: string): InstanceEvent => ({
  ...{ type: 'ExpiryTombstoned', tombstone, floors: [], cuts: [{ writer, seq: 10 }] },
  ...{ unnamed: null, retainSeconds: 1, forced: false, objects: 0, bytes: 0, dueMs: 1, atMs },
});
const then = (type: 'ExpiryBegun' | 'ExpiryRevoked' | 'ExpiryDone', tombstone: string) =>
  ({ type, tombstone, atMs }) as const;

/** Whether the body of an entry that a checkpoint names may be gone. */
function isGone(events: readonly InstanceEvent[]): boolean {
  const letGo = new LetGo();
  for (const [seq, event] of [created, registered, ...events].entries()) {
    const digest = seq.toString(16).padStart(64, '0');
    letGo.note({ event, seq, digest } as Parameters<LetGo['note']>[0]);
  }
  const inEntry = { kind: 'facts', object: { ref: { seq: 5, key: null } } };
  return letGo.ofWriter(writer, -1, null).isGone(inEntry as unknown as LoggedObject, true);
}

it('takes entries for gone only once their deletion has begun', () => {
  expect(isGone([marks('a')])).toBe(false);
  expect(isGone([marks('a'), then('ExpiryRevoked', 'a')])).toBe(false);
  expect(isGone([marks('a'), then('ExpiryBegun', 'a')])).toBe(true);
  const done = [marks('a'), then('ExpiryBegun', 'a'), then('ExpiryDone', 'a')];
  expect(isGone(done)).toBe(true);
  expect(isGone([...done, marks('b'), then('ExpiryRevoked', 'b')])).toBe(true);
});
