import type { FlowEntry, FlowKey } from '@tidemark/archive';
import { compileSelector } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { MemberSet } from '../../../../services/restorer/src/closure/member-set.ts';
import { WalkBack } from '../../../../services/restorer/src/closure/walk-back.ts';
import { selecting } from '../../../support/selected-log.ts';

const END = 1_000;

/** One command of a flow section; keys as `r:name`, `w:name` or `rw:name`. */
function entry(offset: number, changes: Partial<FlowEntry>, ...keys: readonly string[]): FlowEntry {
  const listed = keys.map((key): FlowKey => {
    const [use = '', name = ''] = key.split(':');
    const [read, write] = [use.includes('r'), use.includes('w')];
    return { db: 0, key: Buffer.from(name), read, write };
  });
  const plain = { command: 'x', effect: 'keys', db: 0, swapped: null } as const;
  return { offset: BigInt(offset), ...plain, keys: listed, ...changes };
}

function walked(...entries: readonly FlowEntry[]): WalkBack {
  const walk = new WalkBack(new MemberSet(compileSelector(selecting('wanted'))), null, false);
  walk.cross({ flow: { complete: true, entries }, from: 0, to: END });
  return walk;
}

const matters = (walk: WalkBack, key: string, offset: number): boolean =>
  walk.members.mattersAt(0, Buffer.from(key), { start: 0, end: key.length }, offset);

describe('the way back from the cut', () => {
  it('follows what was read for a key that matters, up to where it was read', () => {
    const walk = walked(entry(100, {}, 'r:older', 'w:old'), entry(200, {}, 'r:old', 'w:wanted'));
    expect(matters(walk, 'old', 199)).toBe(true);
    expect(matters(walk, 'old', 200)).toBe(false);
    expect(matters(walk, 'older', 99)).toBe(true);
    expect(matters(walk, 'older', 100)).toBe(false);
  });

  it('does not follow what was read for keys that no longer matter', () => {
    const walk = walked(entry(200, {}, 'r:old', 'w:wanted'), entry(300, {}, 'r:other', 'w:old'));
    expect(matters(walk, 'other', 299)).toBe(false);
  });

  it('does not go on before a flush for the keys of its database', () => {
    const flush = entry(150, { effect: 'flush-db', command: 'flushdb' });
    const walk = walked(entry(100, {}, 'r:a', 'w:old'), flush, entry(200, {}, 'r:old', 'w:wanted'));
    expect(matters(walk, 'wanted', 149)).toBe(false);
    expect(matters(walk, 'old', 149)).toBe(false);
    expect(matters(walk, 'old', 151)).toBe(true);
    expect(matters(walk, 'a', 99)).toBe(false);
    expect(walk.members.mattersFromStart(0, Buffer.from('wanted'))).toBe(false);
  });

  it('needs everything before SORT by a pattern only where that writes a key that matters', () => {
    const sort = { effect: 'unknown', command: 'sort' } as const;
    expect(walked(entry(100, sort, 'r:a', 'w:other')).everything).toBe(null);
    expect(walked(entry(100, sort, 'r:a', 'w:wanted')).everything).toMatchObject({ offset: 100 });
    expect(walked(entry(100, sort, 'r:a')).everything).toMatchObject({ offset: 100 });
  });

  it('knows each order of databases once, however often they change places', () => {
    const swap = {
      effect: 'swap-db',
      command: 'swapdb',
      swapped: { first: 0, second: 1 },
    } as const;
    const walk = walked(...Array.from({ length: 51 }, (_, at) => entry(at, swap)));
    expect(walk.numberings.map((one) => one.datasetOf(0))).toEqual([0, 1]);
    expect(walk.databases.datasetOf(0)).toBe(1);
  });
});
