import { slotOf, SLOTS } from '@tidemark/bus';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMemberData, encodeMemberData } from '../../../libs/bus/src/group/member-data.ts';
import {
  shareOut,
  slotsThatDiffer,
  type Applicant,
} from '../../../libs/bus/src/group/share-out.ts';
import { slotSets } from '../../../libs/bus/src/group/slots.ts';

const slot = fc.integer({ min: 0, max: SLOTS - 1 });
const slots = fc.uniqueArray(slot, { maxLength: 12 });
const applicants = fc
  .array(fc.record({ held: slots, able: slots, proven: slots }), { minLength: 1, maxLength: 5 })
  .map((all) => all.map((each, at): Applicant => ({ id: `m${at}`, ...each })));

describe('sharing slots out', () => {
  it('counts an instance to the same slot for ever', () => {
    expect(['orders', 'a', 'b', 'cache-1'].map(slotOf)).toEqual([27, 18, 22, 6]);
  });

  it('gives no slot to two, none to one that is not able, and none that another one still works on', () => {
    fc.assert(
      fc.property(applicants, (members) => {
        const shares = shareOut(members);
        const given = [...shares.values()].flat();
        expect(new Set(given).size).toBe(given.length);
        for (const { id, able } of members) {
          for (const each of shares.get(id) ?? []) {
            expect(able).toContain(each);
            const first =
              members.find(({ proven }) => proven.includes(each)) ??
              members.find(({ held }) => held.includes(each));
            const waits = members.find((member) => member.id === id)?.held.includes(each);
            if (waits !== true) expect([undefined, id]).toContain(first?.id);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('comes to rest: once all have let go, everything that somebody can take is shared evenly and stays', () => {
    fc.assert(
      fc.property(applicants, fc.integer({ min: 0, max: 4 }), (members, shift) => {
        const turned = [...members.slice(shift), ...members.slice(0, shift)];
        let now = turned;
        for (let round = 0; round < 3; round++) {
          const shares = shareOut(now);
          now = now.map((each) => ({ ...each, held: shares.get(each.id) ?? [], proven: [] }));
        }
        const rest = shareOut(now);
        expect([...rest].sort()).toEqual(
          now.map(({ id, held }): [string, readonly number[]] => [id, held]).sort(),
        );
        const wanted = new Set(members.flatMap(({ able }) => able));
        expect(new Set([...rest.values()].flat())).toEqual(wanted);
      }),
      { numRuns: 300 },
    );
  });

  it('shares six slots evenly among three that can all of them, and moves two for a fourth at most', () => {
    const able = [1, 2, 3, 4, 5, 6];
    const members = ['a', 'b', 'c'].map((id): Applicant => ({ id, held: [], able, proven: [] }));
    const shares = shareOut(members);
    expect([...shares.values()].map(({ length }) => length)).toEqual([2, 2, 2]);
    const later = members.map((each) => ({ ...each, held: shares.get(each.id) ?? [] }));
    const withFourth = shareOut([...later, { id: 'd', held: [], able, proven: [] }]);
    expect([...withFourth.values()].flat()).toHaveLength(5);
    expect(withFourth.get('d')).toEqual([]);
  });

  it('leaves a slot with a member that works on it by right, whatever was given to another one meanwhile', () => {
    const able = [1, 2, 3, 4];
    const back: Applicant = { id: 'c', held: [1, 2], able, proven: [1, 2] };
    const given: Applicant = { id: 'a', held: [1, 2, 3, 4], able, proven: [3, 4] };
    for (const members of [
      [back, given],
      [given, back],
    ]) {
      const shares = shareOut(members);
      expect([shares.get('a'), shares.get('c')]).toEqual([
        [3, 4],
        [1, 2],
      ]);
    }
  });

  it('hands what is too much for one that is back to those that wait for it', () => {
    const able = [1, 2, 3, 4, 5, 6];
    const members: Applicant[] = [
      { id: 'a', held: [1, 3, 5], able, proven: [] },
      { id: 'b', held: [2, 4, 6], able, proven: [] },
      { id: 'c', held: able, able, proven: able },
    ];
    expect([...shareOut(members)]).toEqual([
      ['a', [1, 3]],
      ['b', [2, 4]],
      ['c', [5, 6]],
    ]);
  });

  it('gives a slot to who has most instances of it, so that none of them is captured by nobody', () => {
    // Both are counted to slot 46.
    const member = (id: string, instances: readonly string[], held: number[] = []): Applicant => {
      const sets = slotSets(instances);
      return { id, held, able: [...sets.keys()], proven: held, sets };
    };
    const fewer = (held?: number[]): Applicant => member('a', ['shop-0', 'b'], held);
    const more = (held?: number[]): Applicant => member('c', ['shop-29', 'shop-0'], held);
    expect(shareOut([fewer(), more()]).get('c')).toContain(46);
    expect(slotsThatDiffer([fewer(), more()])).toEqual([46]);
    // Who works on it lets go of it first.
    expect(shareOut([fewer([46]), more()]).get('c')).not.toContain(46);
    expect(shareOut([fewer([46]), more()]).get('a')).not.toContain(46);
    // One of an earlier release does not say what it has.
    const silent: Applicant = { id: 'b', held: [46], able: [46], proven: [46] };
    expect(shareOut([fewer(), silent, more()]).get('b')).toEqual([46]);
    expect(slotsThatDiffer([more(), silent, more()])).toEqual([]);
  });

  it('takes what another member says of itself only when it is well formed', () => {
    const data = { held: [1, 2], able: [2, 63], proven: [2] };
    expect(decodeMemberData(encodeMemberData(data))).toEqual(data);
    const told = { ...data, sets: slotSets(['a', 'b', 'shop-0', 'shop-29']) };
    expect(decodeMemberData(encodeMemberData(told))).toEqual(told);
    const all = slotSets(Array.from({ length: 9_000 }, (_, at) => `shop-${at}`));
    const slots = [...all.keys()];
    const full = { held: slots, able: slots, proven: slots, sets: all };
    expect(decodeMemberData(encodeMemberData(full))).toEqual(full);
    const early = '{"v":1,"held":[1],"able":[2]}'; // of an earlier release
    expect(decodeMemberData(Buffer.from(early))).toEqual({ held: [1], able: [2], proven: [] });
    const nothing = { held: [], able: [], proven: [] };
    for (const sets of [
      '[[64,1,"00000000"]]',
      '[[1,1.5,"00000000"]]',
      '[[1,1,"x"]]',
      '[1]',
      '{}',
    ]) {
      const text = `{"v":1,"held":[],"able":[1],"proven":[],"sets":${sets}}`;
      expect(decodeMemberData(Buffer.from(text))).toEqual({ ...nothing, able: [1] });
    }
    for (const text of [
      '',
      '{}',
      '[',
      '{"v":1,"held":[64],"able":[]}',
      '{"v":2,"held":[],"able":[]}',
    ]) {
      expect(decodeMemberData(Buffer.from(text))).toEqual(nothing);
    }
    expect(decodeMemberData(Buffer.alloc(5_000, 0x20))).toEqual(nothing);
  });
});
