import { describe, expect, it } from 'vitest';
import { MemberTable } from '../../../../libs/rdb/src/check/member-table.ts';

const bytesOf = (text: string): Buffer => Buffer.from(text);
const add = (table: MemberTable, text: string): boolean =>
  table.add(bytesOf(text), 0, bytesOf(text).length);

/** Undoes the last steps of the hash of four bytes: members whose lower half is `wanted`. */
function membersOf(wanted: number, count: number): Buffer[] {
  const found: Buffer[] = [];
  for (let word = 0; found.length < count; word += 1) {
    let low = 0x1b56c4e9 + 4;
    low = Math.imul(low + word, 0x297a2d39);
    low ^= low >>> 13;
    low = Math.imul(low ^ (low >>> 15), 0x3d4d51cb);
    low ^= low >>> 16;
    if ((low & 0x7ff) !== wanted) continue;
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(word);
    found.push(bytes);
  }
  return found;
}

describe('MemberTable', () => {
  it('tells members that were there, of every length, over many growths', () => {
    const table = new MemberTable();
    const names = Array.from({ length: 20_000 }, (_, at) => 'x'.repeat(at % 40) + String(at));
    for (const name of names) expect(add(table, name)).toBe(true);
    for (const name of names) expect(add(table, name)).toBe(false);
    expect(table).toMatchObject({ count: 20_000, overflowed: false });
    table.clear();
    expect(add(table, names[7] ?? '')).toBe(true);
    expect(table.count).toBe(1);
  });

  it('keeps marks of members, and tells those it does not have', () => {
    const table = new MemberTable();
    for (let at = 0; at < 500; at += 1) add(table, `m${at}`);
    const mark = (text: string, value: number): number =>
      table.mark(bytesOf(text), 0, bytesOf(text).length, value);
    expect([mark('m7', 3), mark('m7', 4), mark('m7', 4), mark('none', 1)]).toEqual([0, 3, 4, -1]);
    for (let at = 500; at < 5000; at += 1) add(table, `m${at}`);
    expect(mark('m7', 5)).toBe(4);
  });

  it('gives up comparing when members are made to meet, and stays quick', () => {
    const table = new MemberTable();
    const members = membersOf(5, 1000);
    for (const member of members) table.add(member, 0, 4);
    expect(table.overflowed).toBe(true);
    expect(table.count).toBeLessThan(1000);
    expect(table.count).toBeGreaterThanOrEqual(256);
  });
});
