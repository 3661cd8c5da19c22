import {
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceEvent,
  type InstanceState,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import type { ExpiryTombstoned } from '../../../libs/catalog/src/model/instance-expiry.ts';
import { instanceEventShape } from '../../../libs/catalog/src/model/wire/instance-event-shape.ts';
import { instanceStateShape } from '../../../libs/catalog/src/model/wire/state-shape.ts';

const atMs = 1_000;
const created: InstanceEvent = { type: 'InstanceCreated', iid: 'orders', name: 'orders', atMs };
const labelled = (backup: string, ...words: readonly string[]): InstanceEvent => {
  const labels = words.map((word) => ({
    key: word.slice(0, word.indexOf('=')),
    value: word.slice(word.indexOf('=') + 1),
  }));
  return { type: 'BackupLabelled', backup, labels, by: 'ops', atMs };
};
const deleted = (backup: string): InstanceEvent => ({
  ...{ type: 'BackupDeleted', backup, by: 'ops', atMs },
});
const undeleted = (backup: string): InstanceEvent => ({
  ...{ type: 'BackupUndeleted', backup, by: 'ops', atMs },
});
const held = (backup: string): InstanceEvent => ({
  ...{ type: 'LeaseTaken', lease: `hold-${backup}`, purpose: 'hold', fromSecond: 1 },
  ...{ untilMs: atMs, atMs },
});
const marked = (...backups: readonly string[]): ExpiryTombstoned => ({
  ...{ type: 'ExpiryTombstoned', tombstone: 'ts-1', floors: [], cuts: [], unnamed: null, backups },
  ...{ retainSeconds: 60, forced: false, objects: 1, bytes: 9, dueMs: 5_000, atMs },
});
const expiry = (type: 'ExpiryRevoked' | 'ExpiryBegun' | 'ExpiryDone'): InstanceEvent => ({
  ...{ type, tombstone: 'ts-1', atMs },
});

function fold(...events: readonly InstanceEvent[]): InstanceState {
  return events.reduce(
    (state, event) => evolveInstance(state, event, state.seq + 1, '1'.repeat(64)),
    EMPTY_INSTANCE_STATE,
  );
}

const refused = (event: InstanceEvent, ...before: readonly InstanceEvent[]): unknown => {
  try {
    decideInstance(fold(created, ...before), event);
  } catch (error) {
    return error;
  }
  return null;
};

describe('what a log says of single backups', () => {
  it('keeps the labels that were put last, and forgets who has none', () => {
    const state = fold(created, labelled('bk_2', 'a=1'), labelled('bk_1', 'a=1', 'b='));
    expect(state.backups).toEqual([
      {
        backup: 'bk_1',
        labels: [
          { key: 'a', value: '1' },
          { key: 'b', value: '' },
        ],
        deleted: null,
      },
      { backup: 'bk_2', labels: [{ key: 'a', value: '1' }], deleted: null },
    ]);
    expect(fold(created, labelled('bk_1', 'a=1'), labelled('bk_1')).backups).toEqual([]);
  });

  it('keeps who deleted one, and lets nobody delete, label or hold it then', () => {
    const state = fold(created, labelled('bk_1', 'a=1'), deleted('bk_1'));
    expect(state.backups).toEqual([
      { backup: 'bk_1', labels: [{ key: 'a', value: '1' }], deleted: { by: 'ops', atMs } },
    ]);
    for (const event of [deleted('bk_1'), labelled('bk_1', 'a=2'), held('bk_1')]) {
      expect(refused(event, deleted('bk_1')), event.type).toMatchObject({
        ...{ code: 'TM_LOG_STATE', context: { event: event.type } },
        message: expect.stringContaining('the backup is deleted') as string,
      });
    }
    expect(refused(held('bk_2'), deleted('bk_1'))).toBeNull();
  });

  it('has a deleted one back with its labels, until retention has let go of it', () => {
    const back = fold(created, labelled('bk_1', 'a=1'), deleted('bk_1'), undeleted('bk_1'));
    expect(back.backups).toEqual([
      { backup: 'bk_1', labels: [{ key: 'a', value: '1' }], deleted: null },
    ]);
    expect(fold(created, deleted('bk_1'), undeleted('bk_1')).backups).toEqual([]);
    expect(refused(undeleted('bk_1'), labelled('bk_1', 'a=1'))).toMatchObject({
      message: expect.stringContaining('is not deleted') as string,
    });
    const marks = [deleted('bk_1'), marked('bk_1')];
    for (const more of [[], [expiry('ExpiryBegun')], [expiry('ExpiryBegun'), expiry('ExpiryDone')]])
      expect(refused(undeleted('bk_1'), ...marks, ...more)).toMatchObject({
        message: expect.stringContaining('has let go') as string,
      });
    expect(refused(undeleted('bk_1'), ...marks, expiry('ExpiryRevoked'))).toBeNull();
  });

  it('does not let go of one that is held', () => {
    expect(refused(deleted('bk_1'), held('bk_1'))).toMatchObject({
      message: expect.stringContaining('the backup is held') as string,
    });
    const released: InstanceEvent = { type: 'LeaseReleased', lease: 'hold-bk_1', atMs };
    expect(refused(deleted('bk_1'), held('bk_1'), released)).toBeNull();
  });

  it('bounds how much is said', () => {
    const long = 'x'.repeat(255);
    const words = Array.from({ length: 16 }, (_, i) => `k${String(i).padStart(2, '0')}=${long}`);
    const full = Array.from({ length: 63 }, (_, i) => labelled(`bk_${String(i)}`, ...words));
    expect(refused(labelled('bk_more', ...words), ...full)).toMatchObject({
      message: expect.stringContaining('characters of labels') as string,
    });
    expect(refused(labelled('bk_0', ...words), ...full)).toBeNull();
    expect(refused(labelled('bk_1', 'b=1', 'a=1'))).toMatchObject({
      message: expect.stringContaining('order of their keys') as string,
    });
  });

  it.each([
    ['17 labels', Array.from({ length: 17 }, (_, i) => `k${String(i)}=v`).sort()],
    ['a key of 64 characters', [`${'k'.repeat(64)}=v`]],
    ['a value of 256 characters', [`k=${'v'.repeat(256)}`]],
    ['a value with a line end', ['k=a\nb']],
    ['a value that turns the direction of the text', ['k=a\u202eb']],
    ['a key with a space', ['a b=v']],
  ])('does not hold %s', (_, words) => {
    expect(() => instanceEventShape.encode(labelled('bk_1', ...words), '$')).toThrow();
  });

  it('lets retention drop what was deleted and nothing else, and shows it again when that is revoked', () => {
    expect(refused(marked('bk_1'))).toMatchObject({
      message: expect.stringContaining('not deleted') as string,
    });
    const one = fold(created, deleted('bk_1'), marked('bk_1'));
    expect(one.expiry).toMatchObject({ dropped: ['bk_1'], tombstone: { backups: ['bk_1'] } });
    const back = evolveInstance(one, expiry('ExpiryRevoked'), one.seq + 1, '1'.repeat(64));
    expect(back.expiry).toEqual({ floors: [], dropped: [], tombstone: null });
    const gone = [deleted('bk_1'), marked('bk_1'), expiry('ExpiryBegun'), expiry('ExpiryDone')];
    expect(fold(created, ...gone).expiry).toEqual({
      ...{ floors: [], dropped: ['bk_1'], tombstone: null },
    });
    expect(refused({ ...marked('bk_1') }, ...gone)).toMatchObject({
      message: expect.stringContaining('is gone') as string,
    });
    const forgotten: InstanceEvent = { type: 'BackupsForgotten', backups: ['bk_1'], atMs };
    expect(fold(created, ...gone, forgotten)).toMatchObject({
      ...{ backups: [], expiry: { dropped: [] } },
    });
  });

  it('reads back what was written, event and fold; a tombstone without backups is the bytes it was', () => {
    const forgotten: InstanceEvent = { type: 'BackupsForgotten', backups: ['bk_1'], atMs };
    const said = [labelled('bk_1', 'a=1'), deleted('bk_1'), undeleted('bk_1'), forgotten];
    for (const event of [...said, marked('bk_1')]) {
      const json = instanceEventShape.encode(event, '$');
      expect(instanceEventShape.decode(json, '$')).toEqual(event);
    }
    const { backups: _, ...plain } = marked();
    expect(instanceEventShape.encode(plain, '$')).not.toHaveProperty('backups');
    const state = fold(created, labelled('bk_2', 'a=1'), deleted('bk_1'), marked('bk_1'));
    const json = instanceStateShape.encode(state, '$');
    expect(instanceStateShape.decode(json, '$')).toEqual(state);
  });
});
