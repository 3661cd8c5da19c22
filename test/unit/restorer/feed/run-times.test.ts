import { describe, expect, it } from 'vitest';
import type { Mark } from '@tidemark/archive';
import { RunTimes } from '../../../../services/restorer/src/feed/run-times.ts';

const sample = (offset: bigint, ms: number): Mark => ({
  ...{ offset, notBeforeMs: ms, notAfterMs: ms, source: 'sample' },
});

describe('RunTimes', () => {
  const times = new RunTimes();
  times.add([sample(0n, 1), sample(5n, 5)]);
  times.add([sample(10n, 100), sample(20n, 200), { ...sample(25n, 250), notAfterMs: null }]);
  times.add([sample(30n, 300), sample(40n, 400)]);

  it.each([
    [40n, 400], // nothing is known after it: not earlier than this
    [39n, 400],
    [30n, 400],
    [29n, 300],
    [20n, 300], // over the mark that tells nothing
    [19n, 200],
    [10n, 200],
    [9n, 100],
  ])('gives the first time after offset %i that is known', (offset, ms) => {
    expect(times.at(offset)).toBe(ms);
  });

  it('keeps the marks of two segments, and knows nothing without one', () => {
    expect(times.at(1n)).toBe(100);
    expect(new RunTimes().at(1n)).toBeNull();
  });
});
