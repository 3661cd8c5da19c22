import { describe, expect, it } from 'vitest';
import { RecentKeys } from '../../../../../services/restorer/src/write-back/compare/recent-keys.ts';

const key = (i: number): Buffer => Buffer.from(`key ${i.toString()}`);

describe('RecentKeys', () => {
  it('knows a key from its first time on, long names and binary ones too', () => {
    const recent = new RecentKeys();
    const long = Buffer.alloc(5_000, 7);
    for (const one of [key(1), long, Buffer.alloc(0), Buffer.from([255])]) {
      expect(recent.add(one)).toBe(true);
      expect(recent.add(Buffer.from(one))).toBe(false);
    }
    expect(recent.add(Buffer.alloc(5_001, 7))).toBe(true);
  });

  it('knows at least the latest, and forgets the oldest', () => {
    const recent = new RecentKeys(100);
    for (let i = 0; i < 1_000; i++) expect(recent.add(key(i))).toBe(true);
    for (let i = 900; i < 1_000; i++) expect(recent.add(key(i))).toBe(false);
    expect(recent.add(key(0))).toBe(true);
  });
});
