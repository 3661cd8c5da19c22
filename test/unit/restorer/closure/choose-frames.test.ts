import type { KeyIndex, SegmentFrame } from '@tidemark/archive';
import { compileSelector } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import {
  chooseFrames,
  joinRanges,
  rangesOf,
} from '../../../../services/restorer/src/closure/choose-frames.ts';
import { DatabaseMap } from '../../../../services/restorer/src/closure/database-map.ts';
import { MemberSet } from '../../../../services/restorer/src/closure/member-set.ts';
import { selecting } from '../../../support/selected-log.ts';

const MANY = Array.from({ length: 20_000 }, (_, at) => `key:${at.toString()}`);

/** Asks an index that counts how often it is asked for a key. */
function asked(index: Pick<KeyIndex, 'kind' | 'count' | 'forEach'>): {
  readonly found: ReadonlySet<number> | 'all';
  readonly lookUps: number;
} {
  let lookUps = 0;
  const selector = compileSelector(selecting(...MANY));
  const found = chooseFrames({
    index: {
      ...index,
      mayContain: () => true,
      framesOf: () => {
        lookUps += 1;
        return lookUps < 100 ? [] : null;
      },
      findEach: () => false,
    },
    selector,
    members: new MemberSet(selector),
    numberings: [new DatabaseMap()],
    maxDb: 0,
    within: { from: 0, to: 1_000 },
  });
  return { found, lookUps };
}

describe('the frames of a segment that are chosen for many keys', () => {
  it('are all as soon as a filter may hold one', () => {
    const { found, lookUps } = asked({ kind: 'filter', count: 1_000, forEach: () => false });
    expect(found).toBe('all');
    expect(lookUps).toBe(100);
  });

  it('are found in a short list by passing through it', () => {
    const { found, lookUps } = asked({
      kind: 'keys',
      count: 2,
      forEach: (visit) => {
        visit(0, Buffer.from('key:7'), [3]);
        visit(0, Buffer.from('other'), [1]);
        return true;
      },
    });
    expect(found).toEqual(new Set([3]));
    expect(lookUps).toBe(0);
  });
});

/** Frames of 100 raw bytes from offset 1,000; `partial` and `rest` of the command each begins in. */
const framesWith = (...within: readonly (readonly [partial: number, rest: number])[]) =>
  within.map(([partialBytes, restBytes], at): SegmentFrame => ({
    ...{ position: at * 50, length: 50, start: BigInt(1_000 + at * 100), rawLength: 100 },
    ...{ db: at, inMulti: false, partialBytes, restBytes },
  }));

describe('the stretches that hold chosen frames', () => {
  it('begin with the command that may be wanted, also in an earlier segment', () => {
    const frames = framesWith([30, 20], [40, 10], [0, 0]);
    expect(rangesOf(frames, new Set([0, 1]))).toEqual([
      { from: 970n, to: 1_100n, db: 0 },
      { from: 1_060n, to: 1_200n, db: 1 },
    ]);
  });

  it('begin after a command that the frame before would have been chosen for', () => {
    const frames = framesWith([0, 0], [40, 10], [5, 100]);
    expect(rangesOf(frames, new Set([1]))).toEqual([{ from: 1_110n, to: 1_200n, db: 1 }]);
    expect(rangesOf(frames, new Set([2]))).toEqual([]);
    expect(rangesOf(frames, 'all').map(({ from }) => from)).toEqual([1_000n, 1_060n, 1_195n]);
  });

  it('are joined where they touch, and keep the database of their beginning', () => {
    const joined = joinRanges([
      { from: 50n, to: 90n, db: 2 },
      { from: 0n, to: 40n, db: 0 },
      { from: 40n, to: 50n, db: 1 },
      { from: 91n, to: 95n, db: 3 },
    ]);
    expect(joined).toEqual([
      { from: 0n, to: 90n, db: 0 },
      { from: 91n, to: 95n, db: 3 },
    ]);
  });
});
