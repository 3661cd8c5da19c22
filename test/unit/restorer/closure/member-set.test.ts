import { compileSelector } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { MemberSet } from '../../../../services/restorer/src/closure/member-set.ts';
import { selecting } from '../../../support/selected-log.ts';

const KEY = Buffer.from([0xff, 0x00, 0x41]);
const WHOLE = { start: 0, end: KEY.length };

const members = (): MemberSet => new MemberSet(compileSelector(selecting('selected')));

describe('keys that are followed', () => {
  it('matter once for each time between two flushes in which they were read', () => {
    const set = members();
    set.follow(1, KEY, 900);
    set.flush(1, 600);
    expect(set.mattersAt(1, KEY, WHOLE, 500)).toBe(false);
    set.follow(1, KEY, 400);
    set.follow(1, KEY, 300); // read again before: it matters there already
    expect([0, 399, 400, 600, 601, 899, 900].map((at) => set.mattersAt(1, KEY, WHOLE, at))).toEqual(
      [true, true, false, false, true, true, false],
    );
    expect(set.followed).toBe(1);
    expect(set.mattersFromStart(1, KEY)).toBe(true);
    expect(set.mattersWithin(1, KEY, { from: 400, to: 600 })).toBe(false);
    expect(set.mattersWithin(1, KEY, { from: 400, to: 601 })).toBe(true);
  });

  it('are those of their dataset only, byte for byte', () => {
    const set = members();
    set.follow(1, KEY, 900);
    expect(set.mattersAt(0, KEY, WHOLE, 100)).toBe(false);
    expect(set.mattersAt(1, Buffer.from([0xfe, 0x00, 0x41]), WHOLE, 100)).toBe(false);
    const seen: [number, string][] = [];
    set.forEachFollowed({ from: 0, to: 10 }, (db, key) => seen.push([db, key.toString('hex')]));
    expect(seen).toEqual([[1, 'ff0041']]);
  });

  it('are not needed from the start when all was emptied since', () => {
    const set = members();
    set.follow(0, KEY, 900);
    set.flushAll(500);
    expect(set.mattersFromStart(0, KEY)).toBe(false);
    expect(set.mattersFromStart(3, Buffer.from('selected'))).toBe(false);
    expect(set.mattersAt(0, KEY, WHOLE, 501)).toBe(true);
  });
});

describe('a selected key', () => {
  it('is followed before a flush of its database when it was read there, and only then', () => {
    const set = members();
    const key = Buffer.from('selected');
    const range = { start: 0, end: key.length };
    set.follow(0, key, 900); // matters up to the cut anyway
    expect(set.followed).toBe(0);
    set.flush(0, 600);
    expect(set.mattersAt(0, key, range, 500)).toBe(false);
    set.follow(0, key, 400);
    expect(set.mattersAt(0, key, range, 399)).toBe(true);
    expect(set.mattersAt(0, key, range, 450)).toBe(false);
    expect(set.mattersAt(0, key, range, 1_000)).toBe(true);
  });
});
