import { describe, expect, it } from 'vitest';
import {
  goesOnBehind,
  lagsBehind,
  type NodeHistory,
} from '../../../../services/archiver/src/capture/psync/node-history.ts';

const NODE: NodeHistory = {
  ...{ runId: 'r', role: 'replica', replid: 'a', offset: 90n },
  ...{ replid2: 'b', secondOffset: 50n, backlogFrom: 1n },
};

describe('lagsBehind()', () => {
  it('holds of a replica of the same history that has less than was captured', () => {
    expect(lagsBehind({ replid: 'a', offset: 91n }, NODE)).toBe(true);
    expect(goesOnBehind({ replid: 'a', offset: 91n }, NODE)).toBe(false);
  });

  it('does not hold once it has the bytes, of a primary, nor of another history', () => {
    expect(lagsBehind({ replid: 'a', offset: 90n }, NODE)).toBe(false);
    expect(lagsBehind({ replid: 'a', offset: 91n }, { ...NODE, role: 'master' })).toBe(false);
    // The history it came from ended there: waiting brings nothing back.
    expect(lagsBehind({ replid: 'b', offset: 91n }, NODE)).toBe(false);
  });
});
