import {
  instanceCheckpointKey,
  instanceLogKey,
  instanceRecordKey,
  parseObjectKey,
  segmentKey,
  snapshotKey,
  tdeCanaryKey,
  tdeMarkerKey,
  undoPartKey,
  wrappedKeyKey,
  writerCheckpointKey,
  writerLogKey,
} from '@tidemark/archive';
import { describe, expect, it } from 'vitest';

const place = { iid: 'orders', shard: '0', writer: 'w1' };

describe('object keys', () => {
  it('are those of the layout, numbers padded to 20 digits', () => {
    expect(instanceRecordKey('orders')).toBe('v1/instance/orders/record');
    expect(instanceLogKey('orders', 7)).toBe('v1/instance/orders/log/00000000000000000007');
    expect(writerLogKey('orders', '0', 'w1', 1024n)).toBe(
      'v1/instance/orders/0/w1/log/00000000000000001024',
    );
    expect(writerCheckpointKey('orders', '0', 'w1', 2048)).toBe(
      'v1/instance/orders/0/w1/checkpoint/00000000000000002048',
    );
    expect(
      segmentKey('orders', '0', 'w1', { timeline: 'tl1', start: 2n ** 64n - 1n, id: 'ab' }),
    ).toBe('v1/instance/orders/0/w1/seg/tl1/18446744073709551615-ab');
    expect(snapshotKey('orders', '0', 'w1', 'bk_01h')).toBe('v1/instance/orders/0/w1/rdb/bk_01h');
    expect(wrappedKeyKey('orders', 'a'.repeat(32), 3)).toBe(
      `v1/keys/orders/${'a'.repeat(32)}/00000000000000000003`,
    );
  });

  it('of a part of an undo pack say the restore and the part', () => {
    const key = undoPartKey('orders', 'rs_1', 12);
    expect(key).toBe('v1/undo/orders/rs_1/00000000000000000012');
    expect(parseObjectKey(key)).toEqual({
      kind: 'undo',
      iid: 'orders',
      restore: 'rs_1',
      part: 12n,
    });
  });

  it('sort as their numbers do', () => {
    const keys = [10, 9, 100, 1].map((seq) => writerLogKey('orders', '0', 'w1', seq));
    expect([...keys].sort()).toEqual(
      [1, 9, 10, 100].map((n) => writerLogKey('orders', '0', 'w1', n)),
    );
  });

  it('are parsed back to what made them', () => {
    const segment = { timeline: 'tl_1', start: 77n, id: '01h-2' };
    expect(parseObjectKey(segmentKey('orders', '0', 'w1', segment))).toEqual({
      kind: 'segment',
      ...place,
      ...segment,
    });
    expect(parseObjectKey(snapshotKey('orders', '0', 'w1', 'bk_1'))).toEqual({
      kind: 'snapshot',
      ...place,
      backupId: 'bk_1',
    });
    expect(parseObjectKey(writerLogKey('orders', '0', 'w1', 5))).toEqual({
      kind: 'log',
      ...place,
      seq: 5n,
    });
    expect(parseObjectKey(writerCheckpointKey('orders', '0', 'w1', 5))).toMatchObject({
      kind: 'checkpoint',
    });
    expect(parseObjectKey(instanceCheckpointKey('orders', 256))).toEqual({
      kind: 'instance-checkpoint',
      iid: 'orders',
      seq: 256n,
    });
    expect(parseObjectKey(instanceLogKey('orders', 5))).toEqual({
      kind: 'instance-log',
      iid: 'orders',
      seq: 5n,
    });
    expect(parseObjectKey(instanceRecordKey('orders'))).toEqual({ kind: 'record', iid: 'orders' });
    expect(parseObjectKey(wrappedKeyKey('orders', 'ff', 1))).toEqual({
      kind: 'wrapped-key',
      iid: 'orders',
      dekId: 'ff',
      generation: 1n,
    });
    expect(parseObjectKey(tdeMarkerKey('orders'))).toEqual({ kind: 'tde-marker', iid: 'orders' });
    expect(parseObjectKey(tdeCanaryKey('orders', 'ff'))).toEqual({
      kind: 'tde-canary',
      iid: 'orders',
      dekId: 'ff',
    });
  });

  it.each([
    '',
    'v1',
    'v2/instance/orders/record',
    'v1/instance/orders/record/x',
    'v1/instance/Orders/record',
    'v1/instance/../record',
    'v1/instance/orders/log/7',
    'v1/instance/orders/log/99999999999999999999',
    'v1/instance/orders/0/w1/log/0000000000000000000a',
    'v1/instance/orders/0/w1/tmp/00000000000000000001',
    'v1/instance/orders/0/w1/seg/tl1/00000000000000000001',
    'v1/instance/orders/0/w1/seg/tl1/00000000000000000001_x',
    'v1/instance/orders/0/w1/seg/tl1/00000000000000000001-',
    'v1/keys/orders/ff',
    'v1/tde/orders',
    'v1/tde/orders/marker/1',
    'v1/tde/orders/canary',
    'v1/tde/orders/canary/Ff',
    'v1/undo/orders/ff',
    'v1/undo/orders/ff/1',
    'v1/undo/orders/Ff/00000000000000000001',
    'v1/undo/orders/ff/00000000000000000001/x',
  ])('gives null for the foreign key "%s"', (key) => {
    expect(parseObjectKey(key)).toBeNull();
  });

  it('refuses names and numbers that cannot stand in a path', () => {
    const refused = (make: () => unknown): void => {
      expect(make).toThrow(expect.objectContaining({ code: 'TM_STORE_KEY' }));
    };
    for (const bad of ['', '..', 'A', 'a/b', 'a.b', 'a'.repeat(64), '-a', '_a', 'ä']) {
      refused(() => instanceRecordKey(bad));
      refused(() => writerLogKey('orders', bad, 'w1', 1));
      refused(() => writerLogKey('orders', '0', bad, 1));
      refused(() => snapshotKey('orders', '0', 'w1', bad));
      refused(() => segmentKey('orders', '0', 'w1', { timeline: bad, start: 0n, id: 'a' }));
      refused(() => segmentKey('orders', '0', 'w1', { timeline: 't', start: 0n, id: bad }));
    }
    refused(() => instanceRecordKey('bk_1'));
    for (const bad of [-1, 1.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
      refused(() => instanceLogKey('orders', bad));
    }
  });
});
