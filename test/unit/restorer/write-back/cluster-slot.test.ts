import { describe, expect, it } from 'vitest';
import {
  nameInSlot,
  slotOf,
} from '../../../../services/restorer/src/write-back/write/cluster-slot.ts';

const slot = (key: string): number => slotOf(Buffer.from(key, 'latin1'));

describe('slotOf()', () => {
  // As CLUSTER KEYSLOT of Redis 7.0.15 answers.
  it.each([
    ['', 0],
    ['foo', 12_182],
    ['123456789', 12_739],
    ['{foo}bar', 12_182],
    ['a{foo}{bar}', 12_182],
    ['{}foo', 9_500],
    ['foo{', 7_673],
    ['{foo', 13_308],
  ])('of %j is %i', (key, expected) => {
    expect(slot(key)).toBe(expected);
  });
});

describe('nameInSlot()', () => {
  it('gives a name that falls into the slot', () => {
    for (const wanted of [0, 1, 12_182, 16_383]) {
      expect(slotOf(nameInSlot('tidemark:building:x:', wanted))).toBe(wanted);
    }
  });
});
